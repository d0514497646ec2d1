use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(cached_if_computed)]
fn list(list: &mut Vec<u64>) -> Result {
    list.push(1);
    Ok(1)
}

#[dspinlock(cached_if_computed)]
async fn inside(id: u64, list: Option<&mut Vec<u64>>) -> Result {
    list.map_or((), |list| list.push(id));
    Ok(1)
}

#[async_trait::async_trait]
trait Sells {
    #[dspinlock(skip(self), cached_if_computed)]
    async fn sell(&self, sold: &mut u64) -> Result {
        *sold += 1;
        Ok(1)
    }
}

fn main() {}
