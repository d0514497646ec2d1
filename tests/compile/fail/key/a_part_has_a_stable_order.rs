#![allow(unused_variables)]

use std::collections::{BinaryHeap, HashMap, HashSet};

use dspinlock::{Error, dspinlock};

#[dspinlock]
fn default_key(id: u64, tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(fail_if_key_exists)]
fn nested(tags: &HashMap<u8, Vec<Option<std::collections::HashSet<u8>>>>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = (id, &tags))]
async fn in_a_key(id: u64, tags: &HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock]
fn heap(heap: BinaryHeap<u8>) -> Result<(), Error> {
    Ok(())
}

fn main() {}
