//! `err_ttl`: one attempt at a time in all processes, and every caller gets its error.

use std::time::Duration;

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::Journal;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{Event, Program, heard, number, say, word};
use crate::common::store::Store;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const ATTEMPTS: usize = 4;
const BODY: Duration = Duration::from_secs(1);
/// The `err_ttl` of the function.
const ERR_TTL: Duration = Duration::from_secs(1);

/// The store counts whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

#[derive(Debug, Serialize, Deserialize)]
enum Failed {
    Attempt(usize),
    Lock(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Lock(error.to_string())
    }
}

#[dspinlock(key = (), cached_if_computed, err_ttl = "1s")]
async fn failing(journal: &Journal) -> Result<(), Failed> {
    let attempt = Event::named(journal, "begin").len() + 1;
    journal.append(format_args!("begin {attempt}"));
    tokio::time::sleep(BODY).await;
    journal.append(format_args!("end {attempt}"));
    Err(Failed::Attempt(attempt))
}

/// Calls again and again until the last attempt. The errors that the caller has got, each once.
async fn caller(journal: Journal) -> Result<Vec<usize>, String> {
    let mut attempts = Vec::new();
    while !attempts.contains(&ATTEMPTS) {
        match failing(&journal).await {
            Err(Failed::Attempt(attempt)) if attempts.last() != Some(&attempt) => attempts.push(attempt),
            Err(Failed::Attempt(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return Err(format!("{other:?} after {attempts:?}")),
        }
    }
    Ok(attempts)
}

pub(super) fn program(words: &str) {
    let journal = Journal::at(words);
    Runtime::new().expect("a runtime").block_on(async {
        say("ready");
        heard();
        let mut callers: JoinSet<_> = (0..CALLERS).map(|_| caller(journal.clone())).collect();
        while let Some(outcome) = callers.join_next().await {
            say(format_args!("{:?}", outcome.expect("no panic")));
        }
    });
    heard();
}

#[test]
fn a_failing_body_is_tried_once_at_a_time_and_each_caller_gets_its_error() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(&folder);
        let words = format!("fail {}", word(journal.path()));
        let programs = Program::start_many(PROCESSES, &words, &store.url());
        for program in &programs {
            assert_eq!(program.recv(), "ready");
        }
        programs.iter().for_each(|program| program.send("go"));
        let expected = format!("{:?}", Ok::<_, String>((1..=ATTEMPTS).collect::<Vec<_>>()));
        for program in &programs {
            for _ in 0..CALLERS {
                assert_eq!(program.recv(), expected, "{}", store.url());
            }
        }
        assert_attempts(&Event::all(&journal), &store.url());
    });
}

/// Each attempt ends before the next one begins, which begins no sooner than after [`ERR_TTL`].
fn assert_attempts(events: &[Event], url: &str) {
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["begin", "end"].repeat(ATTEMPTS), "{events:?}");
    let pauses: Vec<_> = events[1..events.len() - 1]
        .chunks(2)
        .map(|pair| Duration::from_micros(pair[1].micros - pair[0].micros))
        .collect();
    println!("{url}: attempts begin {pauses:?} after the end of the last one");
    for (pause, event) in pauses.iter().zip(&events[2..]) {
        assert!(*pause + ROUNDING >= ERR_TTL, "{event:?}: {pauses:?}");
    }
    let attempts = events.chunks(2).map(|pair| number::<usize>(&pair[0].words[0]));
    assert!(attempts.eq(1..=ATTEMPTS), "{events:?}");
}
