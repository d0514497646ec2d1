use dspinlock::dspinlock;

#[dspinlock]
pub struct Shop {
    pub id: u64,
}

#[dspinlock]
impl Shop {}

#[dspinlock]
const LIMIT: u64 = 7;

trait Sells {
    #[dspinlock(skip(self))]
    fn sell(&self) -> Result<u64, dspinlock::Error>;
}

fn main() {
    let _ = (Shop { id: LIMIT }).id;
}
