use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

#[dspinlock]
async fn after_a_return(id: u64) -> Result {
    if id == 0 {
        return Ok(1);
    }
    "text"
}

#[dspinlock]
async fn empty(id: u64) -> Result {}

#[dspinlock]
fn empty_sync(id: u64) -> Result {
    let _ = id;
}

#[dspinlock(on_error = panic)]
async fn no_value(id: u64) {
    id
}

#[dspinlock(on_error = panic)]
fn question_mark(text: &str) -> u64 {
    text.parse()?
}

fn main() {}
