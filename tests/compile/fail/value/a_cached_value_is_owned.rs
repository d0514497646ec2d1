use std::collections::HashMap;

use dspinlock::dspinlock;

#[dspinlock(cached_if_computed)]
async fn text(id: &str) -> Result<&str, dspinlock::Error> {
    Ok(id)
}

#[dspinlock(cached_if_computed, on_error = panic)]
fn inside(id: &'static str) -> Option<Vec<&'static str>> {
    Some(vec![id])
}

type Names<'a> = HashMap<u64, &'a str>;

#[dspinlock(cached_if_computed)]
fn hidden<'a>(id: &'a str) -> Result<Names<'a>, dspinlock::Error> {
    Ok(HashMap::from([(1, id)]))
}

fn main() {}
