use dspinlock::dspinlock;

#[dspinlock]
async fn mismatch(id: u64) -> Result<String, dspinlock::Error> {
    Ok(id)
}

#[dspinlock]
fn mismatch_sync(id: u64) -> Result<String, dspinlock::Error> {
    if id == 0 {
        return Ok(());
    }
    id
}

#[dspinlock]
async fn question_mark(text: String) -> Result<u64, dspinlock::Error> {
    Ok(text.parse()?)
}

#[dspinlock]
async fn moved(text: String) -> Result<String, dspinlock::Error> {
    drop(text);
    Ok(text)
}

fn main() {}
