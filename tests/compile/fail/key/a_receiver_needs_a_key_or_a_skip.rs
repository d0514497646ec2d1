use dspinlock::dspinlock;

struct Shop;

impl Shop {
    #[dspinlock]
    async fn by_ref(&self, id: u64) -> Result<u64, dspinlock::Error> {
        Ok(id)
    }

    #[dspinlock(cached_if_computed, skip(id))]
    fn boxed(self: Box<Self>, id: u64) -> Result<u64, dspinlock::Error> {
        Ok(id)
    }
}

#[async_trait::async_trait]
trait Sells {
    #[dspinlock]
    async fn sell(&mut self, id: u64) -> Result<u64, dspinlock::Error> {
        Ok(id)
    }
}

fn main() {
    let _ = Shop.by_ref(1);
}
