#![deny(warnings, clippy::all)]

use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, anyhow::Error>;

#[derive(serde::Serialize)]
pub struct User {
    id: u64,
    name: String,
}

async fn look_up(id: u64) -> Result<String> {
    Ok(id.to_string())
}

#[dspinlock(key = user.id)]
pub async fn field(user: User) -> Result {
    Ok(user.id)
}

#[dspinlock(key = (user.id, &user.name, "v2"))]
pub async fn tuple(user: User) -> Result<User> {
    Ok(user)
}

#[dspinlock(key = "user:{id}:{name:?}")]
pub async fn format(id: u64, name: String) -> Result<String> {
    Ok(format!("{id}{name}"))
}

const VERSION: u8 = 1;

#[dspinlock(key = "v{VERSION}:{type}")]
pub fn constant_in_a_hole(r#type: u64) -> Result {
    Ok(r#type)
}

#[dspinlock(key = "the only one")]
pub fn constant() -> Result {
    Ok(1)
}

#[dspinlock(key = ())]
pub fn nothing() -> Result {
    Ok(1)
}

#[dspinlock(key = ())]
pub fn one_key_for_all_calls(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(name = "", key = "nightly")]
pub fn a_shared_text(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ("user", id))]
pub fn label(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ("id", id, "region", "{region:?}"))]
pub fn labels(id: u64, region: &str) -> Result {
    Ok(id + region.len() as u64)
}

#[dspinlock(key = "{id:>width$}")]
pub fn width(id: u64, width: usize) -> Result {
    Ok(id + width as u64)
}

#[dspinlock]
pub fn no_arguments() -> Result {
    Ok(1)
}

#[dspinlock(key = a + b)]
pub fn operator(a: u64, b: u64) -> Result {
    Ok(a * b)
}

#[dspinlock(key = if id > 5 { id } else { 5 })]
pub fn branch(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = { let next = id + 1; next * next })]
pub fn block(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = look_up(id).await?)]
pub async fn awaited(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = (look_up(id).await?, id, look_up(id + 1).await?))]
pub async fn awaited_twice(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = text.parse::<u64>()?)]
pub fn question_mark(text: String) -> Result {
    Ok(text.parse()?)
}

#[dspinlock(key = std::cell::RefCell::new(id.clone()).borrow().len())]
pub async fn temporary(id: String) -> Result<String> {
    Ok(id)
}

#[dspinlock(skip(client))]
pub async fn skipped(id: u64, client: std::rc::Rc<u64>) -> Result {
    Ok(id + *client)
}

#[dspinlock(skip(client,))]
pub async fn skipped_cfg(id: u64, #[cfg(not(windows))] client: &std::cell::Cell<u64>) -> Result {
    Ok(id + client.get())
}

#[dspinlock(key = id)]
pub async fn keyed_cfg(id: u64, #[cfg(windows)] client: &std::cell::Cell<u64>) -> Result {
    Ok(id)
}

fn is_send<T: Send>(_: T) {}

fn main() {
    // Borrows of the key end before the body runs: they do not make the future `!Send`.
    is_send(format(1, String::new()));
    is_send(temporary(String::new()));
    is_send(awaited_twice(1));
}
