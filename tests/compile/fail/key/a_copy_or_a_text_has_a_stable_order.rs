#![allow(unused_variables)]

use std::collections::{HashMap, HashSet};

use dspinlock::{Error, dspinlock};

#[dspinlock(key = "{tags:?}")]
fn text_of_a_set(tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = (id, "of {prices:?}"))]
fn text_of_a_map(id: u64, prices: &HashMap<String, u64>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = *tags)]
fn dereferenced(tags: &HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = tags.clone())]
async fn cloned(tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = ((&tags, id), other))]
fn nested_in_a_tuple(id: u64, tags: HashSet<String>, other: u8) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = format!("{tags:?}"))]
fn formatted(tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = (id, &format!("{:?} of {id}", prices)))]
fn formatted_by_position(id: u64, prices: HashMap<String, u64>) -> Result<(), Error> {
    Ok(())
}

#[dspinlock(key = std::format!("{all:?}", all = &tags).as_str())]
fn formatted_by_name(tags: HashSet<String>) -> Result<(), Error> {
    Ok(())
}

fn main() {}
