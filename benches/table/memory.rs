//! What a kept value takes of the server's memory beyond its own bytes: as it is, and as it might be.
//!
//! 125,000 entries: as many, in proportion to the server's tables, which double, as a million. With `DSPINLOCK_LONG=1`
//! a million.

use std::time::Duration;

use dspinlock_testkit::{Redis, eventually};
use redis::{Commands, Pipeline};

use crate::bare;
use crate::measure::Row;
use crate::worker;

/// What precedes the text of a value, encoded: the format, and a length of one byte.
const MARKS: usize = 3;

/// How long the text of a value is. Many lengths, as a server takes memory by steps, which are not to favour anybody.
pub(crate) fn length(number: u64) -> usize {
    50 + (number % 100) as usize
}

pub(crate) fn on_redis(_: &str) -> Vec<Row> {
    rows("Redis 7", Redis::start)
}

pub(crate) fn on_valkey(_: &str) -> Vec<Row> {
    rows("Valkey 9", Redis::valkey)
}

fn rows(which: &str, start: fn() -> Redis) -> Vec<Row> {
    let is_long = std::env::var_os("DSPINLOCK_LONG").is_some_and(|long| long == "1");
    let count = if is_long { 1_000_000 } else { 125_000 };
    let (ours, kept) = kept(&start(), count);
    let others: [(&str, Write); 7] = [
        ("SET alone, no lock", set_alone),
        ("V alone, no state", value_alone),
        ("binary header", binary_header),
        ("no field twice", no_field_twice),
        ("header and payload apart", apart),
        ("hash of header, payload", hash),
        ("hash of all fields", hash_of_all),
    ];
    let rows = others.map(|(name, write)| {
        let other = written(&start(), count, &kept, write);
        Row::bytes(format!("memory of an entry, {which}"), name, ours, other)
    });
    rows.into()
}

/// Bytes an entry takes that calls have left, and what precedes the payload of one of them.
fn kept(server: &Redis, count: u64) -> (f64, Kept) {
    let before = used(server);
    let worker = worker::start(&server.url());
    worker.send(&format!("fill {count}"));
    assert_eq!(worker.recv_timeout(Duration::from_secs(600)), "filled");
    drop(worker);
    (beyond(used(server) - before, count), Kept::sample(server))
}

/// Bytes an entry takes that is written so.
fn written(server: &Redis, count: u64, kept: &Kept, write: Write) -> f64 {
    let before = used(server);
    let mut connection = bare::sync(&server.url());
    for start in (0..count).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for number in start..count.min(start + 1_000) {
            let payload = vec![b'x'; MARKS + length(number)];
            write(&mut pipeline, kept, &format!("{number:064x}"), &payload);
        }
        pipeline.query::<()>(&mut connection).expect("replies");
    }
    drop(connection);
    beyond(used(server) - before, count)
}

fn beyond(memory: f64, count: u64) -> f64 {
    let payloads: usize = (0..count).map(|number| MARKS + length(number)).sum();
    (memory - payloads as f64) / count as f64
}

/// The server's memory, once nobody else is connected.
fn used(server: &Redis) -> f64 {
    let mut connection = bare::sync(&server.url());
    eventually("a server left alone", || {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection).ok()?;
        (list.lines().count() == 1).then_some(())
    });
    let memory: String = redis::cmd("INFO")
        .arg("memory")
        .query(&mut connection)
        .expect("facts");
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.parse().ok()).expect("a number")
}

/// What is kept beside a payload.
struct Kept {
    state: Vec<u8>,
    /// A line of text: its fields are parted by commas.
    header: Vec<u8>,
}

impl Kept {
    fn sample(server: &Redis) -> Self {
        let mut connection = bare::sync(&server.url());
        let some: String = redis::cmd("RANDOMKEY").query(&mut connection).expect("a key");
        let state = some.trim_start_matches('{').trim_end_matches("},value");
        let value: Vec<u8> = connection.get(format!("{{{state}}},value")).expect("a value");
        let line = value.iter().position(|byte| *byte == b'\n').expect("a line");
        Self {
            state: connection.get(state).expect("a state"),
            header: value[..=line].into(),
        }
    }

    fn fields(&self) -> Vec<&[u8]> {
        self.header.trim_ascii_end().split(|byte| *byte == b',').collect()
    }
}

/// Adds the entry of one digest, with such a payload, to the pipeline.
type Write = fn(&mut Pipeline, &Kept, &str, &[u8]);

/// What somebody does who wants a cache and no lock.
fn set_alone(pipeline: &mut Pipeline, _: &Kept, digest: &str, payload: &[u8]) {
    set(pipeline, &value(digest), payload);
}

fn value_alone(pipeline: &mut Pipeline, kept: &Kept, digest: &str, payload: &[u8]) {
    set(pipeline, &value(digest), &[&kept.header, payload].concat());
}

/// Tags as 16 bytes, numbers as 8 or 4, and texts behind a length.
fn binary_header(pipeline: &mut Pipeline, kept: &Kept, digest: &str, payload: &[u8]) {
    let numbers = [1, 16, 8, 16, 8, 8, 8, 8, 4, 4, 4];
    let fields = kept.fields();
    let texts = fields[numbers.len()..].iter().map(|text| 1 + text.len());
    let length = numbers.iter().sum::<usize>() + texts.sum::<usize>();
    set_state(pipeline, kept, digest);
    set(pipeline, &value(digest), &[&vec![1; length], payload].concat());
}

/// The value's tag and fence are the holder's.
fn no_field_twice(pipeline: &mut Pipeline, kept: &Kept, digest: &str, payload: &[u8]) {
    let fields = kept.fields();
    let header = [&fields[..3], &[b"=", b"="], &fields[5..]].concat().join(&b',');
    set_state(pipeline, kept, digest);
    set(pipeline, &value(digest), &[&header, &b"\n"[..], payload].concat());
}

fn apart(pipeline: &mut Pipeline, kept: &Kept, digest: &str, payload: &[u8]) {
    set_state(pipeline, kept, digest);
    set(pipeline, &value(digest), &kept.header);
    set(pipeline, &format!("{{dspinlock,{digest}}},bytes"), payload);
}

fn hash(pipeline: &mut Pipeline, kept: &Kept, digest: &str, payload: &[u8]) {
    set_hash(pipeline, kept, digest, &[&kept.header, payload]);
}

fn hash_of_all(pipeline: &mut Pipeline, kept: &Kept, digest: &str, payload: &[u8]) {
    set_hash(pipeline, kept, digest, &[&kept.fields()[..], &[payload]].concat());
}

fn value(digest: &str) -> String {
    format!("{{dspinlock,{digest}}},value")
}

const AN_HOUR: u64 = 3_600_000;

fn set(pipeline: &mut Pipeline, key: &str, bytes: &[u8]) {
    let set = pipeline.cmd("SET").arg(key).arg(bytes);
    set.arg("PX").arg(AN_HOUR).ignore();
}

fn set_state(pipeline: &mut Pipeline, kept: &Kept, digest: &str) {
    set(pipeline, &format!("dspinlock,{digest}"), &kept.state);
}

fn set_hash(pipeline: &mut Pipeline, kept: &Kept, digest: &str, fields: &[&[u8]]) {
    set_state(pipeline, kept, digest);
    let key = value(digest);
    let hash = pipeline.cmd("HSET").arg(&key);
    for (number, field) in fields.iter().enumerate() {
        hash.arg(number).arg(*field);
    }
    hash.ignore();
    pipeline.cmd("PEXPIRE").arg(&key).arg(AN_HOUR).ignore();
}
