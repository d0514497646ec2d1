use std::collections::{BTreeSet, HashMap, HashSet};

use dspinlock::{Error, dspinlock};

#[dspinlock(key = (id, dspinlock::sorted(tags)))]
fn sorted(id: u64, tags: &HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(skip(tags))]
fn skipped(id: u64, tags: &HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = tags.len())]
fn other_part(tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock]
fn with_order(map: &HashMap<u8, u8>, set: BTreeSet<u8>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = format!("{} tags", tags.len()))]
fn other_text(tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

fn main() {}
