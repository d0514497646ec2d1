//! `detach`: the caller of a body is dropped, and callers of several processes receive the value of this body.

use std::process;
use std::time::Duration;

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{Journal, eventually};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::{Event, Program, heard, number, say, word};
use crate::common::store::Store;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const BODY: Duration = Duration::from_secs(4);

#[dspinlock(key = (), cached_if_computed, detach, wait = "1m")]
async fn detached(journal: Journal) -> Result<u32, Error> {
    journal.append("begin");
    sleep(BODY).await;
    journal.append("end");
    Ok(process::id())
}

/// The line `first` makes a call that is dropped at half of the body. Any other line is a number of calls.
pub(super) fn program(words: &str) {
    let journal = Journal::at(words);
    let runtime = Runtime::new().expect("a runtime");
    while let Some(line) = heard() {
        let count = if line == "first" { 1 } else { number(&line) };
        let limit = if line == "first" { BODY / 2 } else { 10 * BODY };
        for _ in 0..count {
            let journal = journal.clone();
            runtime.spawn(async move {
                match timeout(limit, detached(journal)).await {
                    Ok(Ok(value)) => say(value),
                    Ok(Err(error)) => say(error),
                    Err(_) => say("dropped"),
                }
            });
        }
    }
}

#[test]
fn of_256_callers_the_first_is_dropped_and_its_body_serves_the_others() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(&folder);
        let words = format!("detach {}", word(journal.path()));
        let programs = Program::start_many(PROCESSES, &words, &store.url());
        programs[0].send("first");
        eventually("the body", || journal.lines().pop());
        programs[0].send(&(CALLERS - 1).to_string());
        programs[1..]
            .iter()
            .for_each(|program| program.send(&CALLERS.to_string()));
        assert_eq!(programs[0].recv(), "dropped", "{}", store.url());
        let names = |events: Vec<Event>| events.into_iter().map(|event| event.name).collect::<Vec<_>>();
        assert_eq!(names(Event::all(&journal)), ["begin"], "the body still runs");
        let values = programs.iter().enumerate().flat_map(|(at, program)| {
            let count = CALLERS - usize::from(at == 0);
            (0..count).map(|_| program.recv())
        });
        let computed = programs[0].id().to_string();
        let served = values.filter(|value| *value == computed).count();
        assert_eq!(served, PROCESSES * CALLERS - 1, "{}", store.url());
        assert_eq!(names(Event::all(&journal)), ["begin", "end"], "{}", store.url());
    });
}
