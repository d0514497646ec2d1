use dspinlock::{Error, dspinlock};

#[dspinlock(entry = price, cached_if_computed)]
async fn price(id: u64) -> Result<u64, Error> {
    Ok(id)
}

trait Sells {
    fn sell(&self, id: u64) -> Result<u64, Error>;
}

struct Shop;

impl Sells for Shop {
    #[dspinlock(key = id, cached_if_computed, entry = sell_entry)]
    fn sell(&self, id: u64) -> Result<u64, Error> {
        Ok(id)
    }
}

#[async_trait::async_trait]
trait Stocks {
    async fn stock(&self, id: u64) -> Result<u64, Error>;
}

#[async_trait::async_trait]
impl Stocks for Shop {
    #[dspinlock(key = id, cached_if_computed, entry = stock_entry)]
    async fn stock(&self, id: u64) -> Result<u64, Error> {
        Ok(id)
    }
}

fn main() {}
