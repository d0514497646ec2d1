//! The connections of the readers are cut, and the pushes of an invalidation are lost.

use std::path::Path;

use dspinlock::Pool;
use dspinlock_testkit::{Proxy, Redis};
use tempfile::NamedTempFile;

use super::super::{Program, heard, say, word};
use super::{Versions, invalidate, near, plain, runtime};

/// How often the connections are cut.
const CUTS: u64 = 100;

/// `warm`: fills the near cache with the current version. `near`: calls `near`. `read`: calls `plain` until the connection is back,
/// then `near`.
pub(crate) fn read_on_demand(words: &str) {
    let versions = Versions::open(Path::new(words));
    let runtime = runtime();
    let near = || runtime.block_on(near(&versions));
    while let Some(line) = heard() {
        match line.as_str() {
            "warm" => while near().is_ok_and(|value| value < versions.current()) {},
            "read" => while plain(&versions).is_err() {},
            _ => {}
        }
        say(near().map_or_else(|error| error.to_string(), |value| value.to_string()));
    }
}

#[test]
fn after_a_cut_connection_no_near_copy_is_stale() {
    let (server, file) = (Redis::start(), NamedTempFile::new().expect("a temporary file"));
    let versions = Versions::open(file.path());
    let pool = Pool::open(&server.url()).expect("a pool");
    let proxy = Proxy::start(server.port());
    let words = format!("read_on_demand {}", word(file.path()));
    let readers = Program::start_many(2, &words, &proxy.url());
    let mut kept = 0;
    for cut in 1..=CUTS {
        for reader in &readers {
            assert_eq!(reader.request("warm"), (cut - 1).to_string());
        }
        // No push of this invalidation arrives.
        if cut % 3 == 0 {
            proxy.limit_connections(Some(0));
            proxy.cut();
            invalidate(&versions, cut, &pool);
            proxy.limit_connections(None);
        } else {
            proxy.drop_pushes(true);
            invalidate(&versions, cut, &pool);
            kept += u64::from(readers[0].request("near") == (cut - 1).to_string());
            proxy.drop_pushes(false);
            match cut % 3 {
                1 => proxy.cut(),
                _ => proxy.reset(),
            }
        }
        for reader in &readers {
            assert_eq!(reader.request("read"), cut.to_string(), "cut {cut}");
        }
    }
    assert!(kept > 0, "the near caches were empty before the cuts");
}
