//! `validate`: payments of one id in several processes.

use std::time::Duration;
use std::{process, thread};

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{Journal, eventually};

use super::{Event, Program, heard, number, say, word};
use crate::common::logs;
use crate::common::store::Store;

const PROCESSES: usize = 4;
/// After the first payment.
const REPLAYS: usize = 97;
const AMOUNT: u64 = 48_151_623;
const OTHER_AMOUNT: u64 = 42_108_154;
const BODY: Duration = Duration::from_secs(2);

#[dspinlock(key = id, validate = (amount, memo), cached_if_computed)]
fn pay(id: &str, amount: u64, memo: &str, journal: &Journal) -> Result<String, Error> {
    journal.append("begin");
    thread::sleep(BODY);
    journal.append("end");
    Ok(format!("receipt {}", process::id()))
}

/// Whether this text or a log line contains an argument.
fn leaks(error: &Error) -> bool {
    let mut texts = logs::lines();
    texts.push(format!("{error} {error:?} {error:#?}"));
    let private = [AMOUNT.to_string(), OTHER_AMOUNT.to_string()];
    logs::leaks(Some(error))
        || private
            .iter()
            .any(|value| texts.iter().any(|text| text.contains(value)))
}

/// Each line is an amount and the number of payments, which begin at the same time.
pub(super) fn program(words: &str) {
    let journal = &Journal::at(words);
    while let Some(line) = heard() {
        let (amount, count) = line.split_once(' ').expect("an amount and a number");
        let (amount, count) = (number(amount), number(count));
        thread::scope(|threads| {
            for _ in 0..count {
                threads.spawn(|| match pay("secret id", amount, "secret memo", journal) {
                    Ok(receipt) => say(receipt),
                    Err(error) if leaks(&error) => say(format_args!("leak {error:?} {:?}", logs::lines())),
                    Err(Error::KeyReused { .. }) => {
                        journal.append("reused");
                        say("reused");
                    }
                    Err(error) => say(error),
                });
            }
        });
    }
}

/// Sends `replays` payments of the same amount and `others` of another one, spread over the programs.
fn pay_again(programs: &[Program], replays: usize, others: usize) -> Vec<String> {
    let share = |count: usize, at: usize| count / PROCESSES + usize::from(at < count % PROCESSES);
    for (at, program) in programs.iter().enumerate() {
        program.send(&format!("{OTHER_AMOUNT} {}", share(others, at)));
        program.send(&format!("{AMOUNT} {}", share(replays, at)));
    }
    let outcomes = |(at, program): (usize, &Program)| {
        let count = share(others, at) + share(replays, at);
        (0..count).map(|_| program.recv()).collect::<Vec<_>>()
    };
    programs.iter().enumerate().flat_map(outcomes).collect()
}

#[test]
fn of_101_payments_one_runs_and_those_of_another_amount_are_refused() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(&folder);
        let words = format!("pay {}", word(journal.path()));
        let mut programs = Program::start_many(PROCESSES + 1, &words, &store.url());
        let first = programs.pop().expect("a program");
        first.send(&format!("{AMOUNT} 1"));
        eventually("the first payment", || journal.lines().pop());
        let mut outcomes = pay_again(&programs, REPLAYS / 2, 2);
        let names: Vec<_> = Event::all(&journal).into_iter().map(|event| event.name).collect();
        assert_eq!(
            names,
            ["begin", "reused", "reused", "end"],
            "the first payment still runs"
        );
        outcomes.extend(pay_again(&programs, REPLAYS - REPLAYS / 2, 1));
        let receipt = first.recv();
        let of = |expected: &str| outcomes.iter().filter(|outcome| *outcome == expected).count();
        assert!(receipt.starts_with("receipt "), "{receipt}");
        assert_eq!((of(&receipt), of("reused")), (REPLAYS, 3), "{outcomes:?}");
        assert_eq!(outcomes.len(), REPLAYS + 3);
        assert_eq!(Event::named(&journal, "begin").len(), 1);
    });
}
