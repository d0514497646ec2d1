//! Tests of the embedded store beyond the contract: its file, its thread, and several processes on one file.

mod changes;
mod child;
mod files;
mod foreign;
mod long;
mod permissions;
mod processes;
mod thread;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dspinlock_runtime::Error;
use dspinlock_runtime::internals::clock::Instant;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::value::Holder;
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
    Key::new("embedded".into(), [number; 32])
}

fn acquire(tag: &str) -> Request {
    Request::Acquire(Acquire {
        tag: tag.into(),
        lease: 600_000,
        max_block: 600_000,
        cached: false,
        fail_if_key_exists: false,
        want_value: true,
        refuse: None,
        stale: None,
        holder: holder(),
        bound: 8 << 20,
    })
}

fn publish(tag: &str, fence: u64, payload: &[u8]) -> Request {
    Request::Publish(Publish {
        tag: tag.into(),
        fence,
        ttl: 600_000,
        elapsed: 0,
        payload: Some(Bytes::copy_from_slice(payload)),
        holder: holder(),
    })
}

fn renew(tag: &str, fence: u64) -> Request {
    Request::Renew(Renew {
        tag: tag.into(),
        fence,
        lease: 600_000,
    })
}

fn abort(tag: &str) -> Request {
    Request::Abort { tag: tag.into() }
}

fn read() -> Request {
    Request::Read(Read {
        shared: false,
        bound: 8 << 20,
    })
}

fn holder() -> Holder {
    Holder::new(1, "host", "embedded")
}

fn step(store: &Embedded, key: &Key, request: Request) -> Result<Reply, Failure> {
    wait(store.step(key, request, Instant::now()))
}

#[track_caller]
fn grant(store: &Embedded, key: &Key, tag: &str) -> u64 {
    match step(store, key, acquire(tag)) {
        Ok(Reply::Acquired(fence)) => fence,
        other => panic!("expected Acquired, got {other:?}"),
    }
}
