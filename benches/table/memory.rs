//! Measures the memory of a server per cached value, without the payload. The baselines are other layouts of an entry.
//!
//! There are 125,000 entries, which fill the server's hash table to the same degree as a million. With `DSPINLOCK_LONG=1`
//! there are a million.

use std::time::Duration;

use dspinlock_testkit::{Redis, eventually};
use redis::{Commands, Pipeline};

use crate::bare;
use crate::measure::Row;
use crate::worker;

/// Bytes before the text of an encoded value: the format and the length.
const PREFIX: usize = 3;

/// Length of the text of a value. It varies, because servers allocate in size classes.
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
    let (ours, entry) = cached(&start(), count);
    let layouts: [(&str, Write); 7] = [
        ("SET alone, no lock", set_alone),
        ("V alone, no state", value_alone),
        ("binary header", binary_header),
        ("no field twice", no_field_twice),
        ("header and payload separate", separate),
        ("hash of header, payload", hash),
        ("hash of all fields", hash_of_all),
    ];
    let rows = layouts.map(|(name, write)| {
        let baseline = written(&start(), count, &entry, write);
        Row::bytes(format!("memory per entry, {which}"), name, ours, baseline)
    });
    rows.into()
}

/// Bytes per entry of dspinlock, and the state and header of one entry.
fn cached(server: &Redis, count: u64) -> (f64, Entry) {
    let before = used(server);
    let worker = worker::start(&server.url());
    worker.send(&format!("fill {count}"));
    assert_eq!(worker.recv_timeout(Duration::from_secs(600)), "filled");
    drop(worker);
    (beyond(used(server) - before, count), Entry::sample(server))
}

/// Bytes per entry of another layout.
fn written(server: &Redis, count: u64, entry: &Entry, write: Write) -> f64 {
    let before = used(server);
    let mut connection = bare::sync(&server.url());
    for start in (0..count).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for number in start..count.min(start + 1_000) {
            let payload = vec![b'x'; PREFIX + length(number)];
            write(&mut pipeline, entry, &format!("{number:064x}"), &payload);
        }
        pipeline
            .query::<()>(&mut connection)
            .expect("replies to the pipeline");
    }
    drop(connection);
    beyond(used(server) - before, count)
}

fn beyond(memory: f64, count: u64) -> f64 {
    let payloads: usize = (0..count).map(|number| PREFIX + length(number)).sum();
    (memory - payloads as f64) / count as f64
}

/// The server's memory when no other client is connected.
fn used(server: &Redis) -> f64 {
    let mut connection = bare::sync(&server.url());
    eventually("all other clients to disconnect", || {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection).ok()?;
        (list.lines().count() == 1).then_some(())
    });
    let memory: String = redis::cmd("INFO")
        .arg("memory")
        .query(&mut connection)
        .expect("a reply to INFO");
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.parse().ok())
        .expect("used_memory is a number")
}

/// State and header of an entry.
struct Entry {
    state: Vec<u8>,
    /// A line of fields that are separated by commas.
    header: Vec<u8>,
}

impl Entry {
    fn sample(server: &Redis) -> Self {
        let mut connection = bare::sync(&server.url());
        let some: String = redis::cmd("RANDOMKEY")
            .query(&mut connection)
            .expect("a reply to RANDOMKEY");
        let state = some.trim_start_matches('{').trim_end_matches("},value");
        let value: Vec<u8> = connection
            .get(format!("{{{state}}},value"))
            .expect("a reply to GET");
        let line = value
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("the header is a line");
        Self {
            state: connection.get(state).expect("a reply to GET"),
            header: value[..=line].into(),
        }
    }

    fn fields(&self) -> Vec<&[u8]> {
        self.header.trim_ascii_end().split(|byte| *byte == b',').collect()
    }
}

/// Adds the commands that write one entry to the pipeline.
type Write = fn(&mut Pipeline, &Entry, &str, &[u8]);

/// A cache without a lock.
fn set_alone(pipeline: &mut Pipeline, _: &Entry, digest: &str, payload: &[u8]) {
    set(pipeline, &value(digest), payload);
}

fn value_alone(pipeline: &mut Pipeline, entry: &Entry, digest: &str, payload: &[u8]) {
    set(pipeline, &value(digest), &[&entry.header, payload].concat());
}

/// Tags of 16 bytes, numbers of 8 or 4 bytes, and texts after their length.
fn binary_header(pipeline: &mut Pipeline, entry: &Entry, digest: &str, payload: &[u8]) {
    let numbers = [1, 16, 8, 16, 8, 8, 8, 8, 4, 4, 4];
    let fields = entry.fields();
    let texts = fields[numbers.len()..].iter().map(|text| 1 + text.len());
    let length = numbers.iter().sum::<usize>() + texts.sum::<usize>();
    set_state(pipeline, entry, digest);
    set(pipeline, &value(digest), &[&vec![1; length], payload].concat());
}

/// The tag and the fence of the value are omitted, because they equal those of the holder.
fn no_field_twice(pipeline: &mut Pipeline, entry: &Entry, digest: &str, payload: &[u8]) {
    let fields = entry.fields();
    let header = [&fields[..3], &[b"=", b"="], &fields[5..]].concat().join(&b',');
    set_state(pipeline, entry, digest);
    set(pipeline, &value(digest), &[&header, &b"\n"[..], payload].concat());
}

fn separate(pipeline: &mut Pipeline, entry: &Entry, digest: &str, payload: &[u8]) {
    set_state(pipeline, entry, digest);
    set(pipeline, &value(digest), &entry.header);
    set(pipeline, &format!("{{dspinlock,{digest}}},bytes"), payload);
}

fn hash(pipeline: &mut Pipeline, entry: &Entry, digest: &str, payload: &[u8]) {
    set_hash(pipeline, entry, digest, &[&entry.header, payload]);
}

fn hash_of_all(pipeline: &mut Pipeline, entry: &Entry, digest: &str, payload: &[u8]) {
    set_hash(
        pipeline,
        entry,
        digest,
        &[&entry.fields()[..], &[payload]].concat(),
    );
}

fn value(digest: &str) -> String {
    format!("{{dspinlock,{digest}}},value")
}

const AN_HOUR: u64 = 3_600_000;

fn set(pipeline: &mut Pipeline, key: &str, bytes: &[u8]) {
    let set = pipeline.cmd("SET").arg(key).arg(bytes);
    set.arg("PX").arg(AN_HOUR).ignore();
}

fn set_state(pipeline: &mut Pipeline, entry: &Entry, digest: &str) {
    set(pipeline, &format!("dspinlock,{digest}"), &entry.state);
}

fn set_hash(pipeline: &mut Pipeline, entry: &Entry, digest: &str, fields: &[&[u8]]) {
    set_state(pipeline, entry, digest);
    let key = value(digest);
    let hash = pipeline.cmd("HSET").arg(&key);
    for (number, field) in fields.iter().enumerate() {
        hash.arg(number).arg(*field);
    }
    hash.ignore();
    pipeline.cmd("PEXPIRE").arg(&key).arg(AN_HOUR).ignore();
}
