use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

struct User {
    id: u64,
}

#[dspinlock(key = user, label = "user:{id}")]
async fn unknown(user: u64) -> Result {
    Ok(user)
}

#[dspinlock(label = "{x}")]
fn two_unknown(id: u64, region: &str) -> Result {
    Ok(id + region.len() as u64)
}

#[dspinlock(label = "{x}")]
fn no_arguments() -> Result {
    Ok(1)
}

#[dspinlock(key = user.id, label = "user:{user.id}")]
fn expression(user: &User) -> Result {
    Ok(user.id)
}

#[dspinlock(label = "user:{}")]
fn no_name(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(label = id)]
fn no_text(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(label = format!("{id}"))]
fn made_text(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = user.id, label = "{user}")]
fn not_printable(user: &User) -> Result {
    Ok(user.id)
}

impl User {
    #[dspinlock(key = id, label = "{self}")]
    fn receiver(id: u64) -> Result {
        Ok(id)
    }
}

fn main() {}
