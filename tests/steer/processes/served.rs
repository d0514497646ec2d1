//! A call that follows a call of another process.

use std::thread;
use std::time::Duration;

use dspinlock::{Error, How, Pool, dspinlock, served_blocking};

use super::{Program, heard, say};
use crate::served::fence;
use crate::stores::Backend;

#[dspinlock(key = id, cached_if_computed)]
fn value(id: u64, is_program: bool) -> Result<u64, Error> {
    assert!(is_program, "another process computes");
    say("computing");
    heard();
    Ok(fence())
}

pub(super) fn program(words: &str) {
    let computed = value(super::number(words), true).expect("a value");
    say(computed);
    heard();
}

#[test]
fn a_call_that_waits_for_another_process_follows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    for backend in Backend::all() {
        let url = backend
            .url()
            .unwrap_or_else(|| format!("sqlite:{}/locks.db", folder.path().display()));
        let id = fastrand::u64(..);
        let program = Program::start(&format!("serve {id}"), &url);
        assert_eq!(program.recv(), "computing");
        let pool = Pool::open(&url).expect("a pool");
        let (outcome, served) = thread::scope(|threads| {
            let call = threads.spawn(|| pool.scope_blocking(|| served_blocking(|| value(id, false))));
            thread::sleep(Duration::from_millis(300));
            assert!(!call.is_finished(), "the call waits");
            program.send("go on");
            call.join().expect("no panic")
        });
        let (value, served) = (outcome.expect("a value"), served.expect("a call"));
        assert_eq!(program.recv(), value.to_string());
        assert_eq!(
            (served.how, served.fence),
            (How::Followed, Some(value)),
            "{backend:?}"
        );
        assert!(
            served.age.is_none_or(|age| age < Duration::from_secs(20)),
            "{served:?}"
        );
    }
}
