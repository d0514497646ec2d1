use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

struct User {
    id: u64,
}

#[dspinlock(key = "user:{user.id}")]
async fn field(user: User) -> Result {
    Ok(user.id)
}

#[dspinlock(key = "user:{id()}")]
async fn call(user: User) -> Result {
    Ok(user.id)
}

#[dspinlock(key = "user:{}")]
async fn empty(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ("user", "{0:?}"))]
async fn positional(id: u64) -> Result {
    Ok(id)
}

fn main() {}
