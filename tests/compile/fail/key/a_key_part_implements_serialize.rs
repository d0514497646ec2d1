use dspinlock::dspinlock;

struct Client;

#[dspinlock]
async fn price(id: u64, client: &Client) -> Result<u64, dspinlock::Error> {
    let _ = client;
    Ok(id)
}

#[dspinlock(key = (id, Client))]
async fn name(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

fn main() {}
