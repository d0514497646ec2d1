//! Measures the memory of a server per entry, without the payload. The baselines are other layouts of an entry.
//!
//! There are 200,000 entries. With `DSPINLOCK_LONG=1` there are a million.

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
    let count = if is_long { 1_000_000 } else { 200_000 };
    let (value, entry) = filled(&start(), "fill", count);
    let value = value - payloads(count) / count as f64;
    let layouts: [(&str, &str, Write); 3] = [
        ("SET alone, no lock", "≤ 300 B", set_alone),
        ("binary header", "", binary_header),
        ("hash of header, payload", "", hash),
    ];
    let mut rows: Vec<_> = layouts
        .map(|(name, target, write)| {
            let baseline = written(&start(), count, &entry, write) - payloads(count) / count as f64;
            Row::bytes(
                format!("memory of a value, {which}"),
                name,
                target,
                (value, baseline),
            )
        })
        .into();
    let (explicit, entry) = filled(&start(), "fill_explicit", count);
    let baseline = written(&start(), count, &entry, mark);
    rows.push(Row::bytes(
        format!("memory of a released explicit lock, {which}"),
        "SET of one byte",
        "≤ 200 B",
        (explicit, baseline),
    ));
    rows
}

/// Memory per entry of dspinlock, and one of the entries.
fn filled(server: &Redis, fill: &str, count: u64) -> (f64, Entry) {
    let before = used(server);
    let worker = worker::start(&server.url());
    worker.send(&format!("{fill} {count}"));
    assert_eq!(worker.recv_timeout(Duration::from_secs(600)), "filled");
    drop(worker);
    ((used(server) - before) / count as f64, Entry::sample(server))
}

/// Memory per entry of another layout.
fn written(server: &Redis, count: u64, entry: &Entry, write: Write) -> f64 {
    let before = used(server);
    let mut connection = bare::sync(&server.url());
    for start in (0..count).step_by(1_000) {
        let mut pipeline = redis::pipe();
        for number in start..count.min(start + 1_000) {
            let payload = vec![b'x'; PREFIX + length(number)];
            let name = format!("{number:0>length$}", length = entry.name_length);
            write(&mut pipeline, entry, &name, &payload);
        }
        pipeline
            .query::<()>(&mut connection)
            .expect("replies to the pipeline");
    }
    drop(connection);
    (used(server) - before) / count as f64
}

fn payloads(count: u64) -> f64 {
    (0..count).map(|number| (PREFIX + length(number)) as f64).sum()
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

/// What the other layouts have in common with an entry.
struct Entry {
    name_length: usize,
    /// The head and the header of a value.
    header: Vec<u8>,
}

impl Entry {
    fn sample(server: &Redis) -> Self {
        let mut connection = bare::sync(&server.url());
        let name = redis::cmd("RANDOMKEY").query::<String>(&mut connection);
        let name = name.expect("a reply to RANDOMKEY");
        let entry: Vec<u8> = connection.get(&name).expect("a reply to GET");
        let header = entry.split_inclusive(|byte| *byte == b'\n').next();
        Self {
            name_length: name.len(),
            header: header.expect("the entry is not empty").into(),
        }
    }
}

/// Adds the commands that write one entry to the pipeline.
type Write = fn(&mut Pipeline, &Entry, &str, &[u8]);

/// A cache without a lock.
fn set_alone(pipeline: &mut Pipeline, _: &Entry, name: &str, payload: &[u8]) {
    set(pipeline, name, payload);
}

/// The shortest mark.
fn mark(pipeline: &mut Pipeline, _: &Entry, name: &str, _: &[u8]) {
    set(pipeline, name, b"1");
}

/// The kind, a tag of 12 bytes, numbers of 8 or 4 bytes, and texts after their length.
fn binary_header(pipeline: &mut Pipeline, entry: &Entry, name: &str, payload: &[u8]) {
    const NUMBERS: usize = 1 + 12 + 8 + 4 + 4 + 8 + 8 + 4 + 8 + 1;
    let fields: Vec<_> = entry
        .header
        .trim_ascii_end()
        .split(|byte| *byte == b',')
        .collect();
    let texts = [fields[1], &fields[10..].join(&b',')].map(|text| 1 + text.len());
    let header = vec![1; NUMBERS + texts.iter().sum::<usize>()];
    set(pipeline, name, &[&header, payload].concat());
}

fn hash(pipeline: &mut Pipeline, entry: &Entry, name: &str, payload: &[u8]) {
    let fields = pipeline.cmd("HSET").arg(name);
    fields.arg("h").arg(&entry.header).arg("p").arg(payload).ignore();
    pipeline.cmd("PEXPIRE").arg(name).arg(AN_HOUR).ignore();
}

const AN_HOUR: u64 = 3_600_000;

fn set(pipeline: &mut Pipeline, name: &str, bytes: &[u8]) {
    let set = pipeline.cmd("SET").arg(name).arg(bytes);
    set.arg("PX").arg(AN_HOUR).ignore();
}
