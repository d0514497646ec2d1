//! Watches, which wake callers when a push arrives.

use std::sync::Arc;

use redis::{PushInfo, PushKind, Value};
use shuttle::thread;

use super::key;
use crate::rt::blocking;
use crate::tracking::Watches;

fn push() -> PushInfo {
    PushInfo {
        kind: PushKind::Invalidate,
        data: vec![Value::Array(vec![Value::BulkString(key().name().into())])],
    }
}

/// A caller that watches a key before the push is woken, even if it starts to wait later and other callers stop watching.
pub fn a_push_to_a_watched_key_is_never_missed() {
    let watches = Arc::<Watches>::default();
    let pushed = [(), ()].map(|()| watches.subscribe(&key().name()));
    let leaves = {
        let watches = watches.clone();
        thread::spawn(move || drop(watches.subscribe(&key().name())))
    };
    let waiters = pushed.map(|watched| thread::spawn(move || blocking::wait(watched.changed())));
    let pushes = thread::spawn({
        let watches = watches.clone();
        move || watches.pushed(&push())
    });
    for thread in waiters.into_iter().chain([leaves, pushes]) {
        thread.join().expect("no thread panics");
    }
}
