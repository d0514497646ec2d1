//! `Entry::invalidate`, while other processes read.
//!
//! A value is the number of a version. The test raises the number and then invalidates, so a call that begins after the
//! invalidation must not return a smaller number.

mod cuts;
mod readers;

pub(super) use cuts::read_on_demand;
pub(super) use readers::read_all_the_time;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dspinlock::{Error, Pool, dspinlock};
use tokio::runtime::{Builder, Runtime};

/// Two numbers in a file, which all processes share.
struct Versions(File);

impl Versions {
    fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path);
        let versions = Self(file.expect("the file exists"));
        if versions.0.metadata().expect("a length").len() == 0 {
            versions.set_current(0);
            versions.set_invalidated(0);
        }
        versions
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0
            .read_exact_at(&mut bytes, at)
            .expect("the file has the number");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, version: u64) {
        let bytes = version.to_ne_bytes();
        self.0.write_all_at(&bytes, at).expect("the file can be written");
    }

    /// What the bodies return.
    fn current(&self) -> u64 {
        self.get(0)
    }

    fn set_current(&self, version: u64) {
        self.set(0, version);
    }

    /// Every older version was invalidated.
    fn invalidated(&self) -> u64 {
        self.get(8)
    }

    fn set_invalidated(&self, version: u64) {
        self.set(8, version);
    }
}

#[dspinlock(key = (), cached_if_computed, wait = "1m", entry = plain_entry)]
fn plain(versions: &Versions) -> Result<u64, Error> {
    let version = versions.current();
    // Some bodies run while their key is invalidated.
    thread::sleep(Duration::from_micros(fastrand::u64(..300)));
    Ok(version)
}

#[dspinlock(key = (), cached_if_computed, near_cache = "10m", wait = "1m", entry = near_entry)]
async fn near(versions: &Versions) -> Result<u64, Error> {
    let version = versions.current();
    thread::sleep(Duration::from_micros(fastrand::u64(..300)));
    Ok(version)
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Raises the version and invalidates the values of both functions.
fn invalidate(versions: &Versions, version: u64, pool: &Pool) {
    versions.set_current(version);
    for entry in [plain_entry(versions), near_entry(versions)] {
        entry.pool(pool).invalidate_blocking().expect("a reply");
    }
    versions.set_invalidated(version);
}
