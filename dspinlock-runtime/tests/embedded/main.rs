//! Tests of the embedded store beyond the contract: its file, its thread, and several processes on one file.

mod changes;
mod child;
mod files;
mod foreign;
mod long;
mod permissions;
mod places;
mod processes;
mod thread;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dspinlock_runtime::Error;
use dspinlock_runtime::internals::clock::Instant;
use dspinlock_runtime::internals::key::{Format, Key};
use dspinlock_runtime::internals::protocol::header::{Flag, Origin};
use dspinlock_runtime::internals::protocol::tag::{Id, Tag};
use dspinlock_runtime::internals::protocol::{Acquire, Publish, Read, Renew, Reply, Request};
use dspinlock_runtime::internals::store::embedded::{Embedded, TIME_LIMIT};
use dspinlock_runtime::internals::store::{Failure, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

thread_local! {
    static RUNTIME: Runtime = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime")
    };
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// A temporary directory, and the path of a store in it. The file does not exist yet.
fn temporary_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("locks.sqlite");
    (folder, path)
}

fn open(path: &Path) -> Result<Embedded, Error> {
    Embedded::open(path, TIME_LIMIT)
}

fn key(number: u8) -> Key {
    Key::new(Format::Single, "embedded".into(), [number; 32])
}

/// A tag of 16 characters.
fn tag(name: &str) -> Tag {
    Tag::parse(format!("{name:_>16}").as_bytes()).expect("a tag")
}

fn acquire(tag: &str) -> Request {
    Request::Acquire(Acquire {
        tag: self::tag(tag),
        lease: 600_000,
        max_block: 600_000,
        cached: false,
        fail_if_key_exists: false,
        seize: false,
        refuse: None,
        stale: None,
        origin: origin(),
        bound: 8 << 20,
    })
}

fn publish(id: Id, payload: &[u8]) -> Request {
    Request::Publish(Publish {
        id,
        ttl: 600_000,
        took: 0,
        payload: Some(Bytes::copy_from_slice(payload)),
        flag: Flag::Value,
        signature: None,
        origin: origin(),
    })
}

fn renew(id: Id) -> Request {
    Request::Renew(Renew { id, lease: 600_000 })
}

fn abort(tag: &str) -> Request {
    Request::Abort { tag: self::tag(tag) }
}

fn read() -> Request {
    Request::Read(Read { bound: 8 << 20 })
}

fn origin() -> Origin {
    Origin::new(1, "host", "embedded")
}

fn step(store: &Embedded, key: &Key, request: Request) -> Result<Reply, Failure> {
    wait(store.step(key, request, Instant::now()))
}

#[track_caller]
fn grant(store: &Embedded, key: &Key, tag: &str) -> Id {
    match step(store, key, acquire(tag)) {
        Ok(Reply::Acquired(id)) => id,
        other => panic!("expected Acquired, got {other:?}"),
    }
}
