use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

struct User {
    id: u64,
}

#[dspinlock(key = a, b)]
async fn names(a: u64, b: u64) -> Result {
    Ok(a + b)
}

#[dspinlock(key = a, b, user.id, cached_if_computed)]
async fn several(a: u64, b: u64, user: User) -> Result {
    Ok(a + b + user.id)
}

#[dspinlock(key = "user:{0}", user.id)]
async fn positional(user: User) -> Result {
    Ok(user.id)
}

#[dspinlock(key = "user:{}", user.id, cached_if_computed)]
async fn empty_hole(user: User) -> Result {
    Ok(user.id)
}

#[dspinlock(key = a, cached)]
async fn a_misspelt_flag(a: u64) -> Result {
    Ok(a)
}

fn main() {}
