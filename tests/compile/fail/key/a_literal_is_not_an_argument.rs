use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(key = "id", cached_if_computed)]
async fn quoted(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ("tenant", id))]
async fn quoted_in_a_tuple(tenant: &str, id: u64) -> Result {
    Ok(tenant.len() as u64 + id)
}

#[dspinlock(name = "", key = "id")]
fn quoted_and_shared(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = "report", cached_if_computed)]
fn text(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = "{{id}}")]
fn escaped(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ("report", 7))]
fn literals(id: u64) -> Result {
    Ok(id)
}

fn main() {}
