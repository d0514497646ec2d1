//! `fail_if_key_exists` and `on_busy = skip`: schedulers in several processes that run one job a day.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{process, thread};

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{BareClient, Journal, eventually};

use super::{Event, Program, heard, number, word};
use crate::common::store::Store;

const LEASE: Duration = Duration::from_secs(2);
const BODY: Duration = Duration::from_secs(1);
/// How often each scheduler tries.
const MINUTE: Duration = Duration::from_millis(100);
const DAYS: u64 = 4;
/// The day on which a scheduler is killed while its job runs.
const KILL_DAY: u64 = 2;

#[dspinlock(key = day, fail_if_key_exists, on_busy = skip, lease = LEASE, ttl = "1d")]
fn job(day: u64, journal: &Journal) -> Result<(), Error> {
    journal.append(format_args!("begin {day} {}", process::id()));
    thread::sleep(BODY);
    journal.append(format_args!("end {day} {}", process::id()));
    Ok(())
}

/// Each line is the number of the day.
pub(super) fn program(words: &str) {
    static DAY: AtomicU64 = AtomicU64::new(0);
    let journal = Journal::at(words);
    thread::spawn(|| {
        while let Some(day) = heard() {
            DAY.store(number(&day), Ordering::SeqCst);
        }
        process::exit(0);
    });
    loop {
        let day = DAY.load(Ordering::SeqCst);
        if day > 0
            && let Err(error) = job(day, &journal)
        {
            journal.append(format_args!("error {day} {error}"));
        }
        thread::sleep(MINUTE);
    }
}

/// The events of a day with this name.
fn of_day(journal: &Journal, name: &str, day: u64) -> Vec<Event> {
    let mut events = Event::named(journal, name);
    events.retain(|event| event.words[0] == day.to_string());
    events
}

/// Kills the scheduler whose job runs, and returns how long after that the next job begins.
fn kill_in_mid_job(programs: &mut Vec<Program>, journal: &Journal) -> Duration {
    let begun = eventually("the job", || of_day(journal, "begin", KILL_DAY).pop());
    let of_job = programs
        .iter()
        .position(|program| program.0.id() == number::<u32>(&begun.words[1]))
        .expect("a scheduler runs the job");
    thread::sleep(BODY / 4);
    // It is killed and reaped.
    programs.remove(of_job).0.kill();
    journal.append("kill");
    let next = eventually("the next job", || {
        of_day(journal, "begin", KILL_DAY).into_iter().nth(1)
    });
    let killed = Event::named(journal, "kill").pop().expect("a kill");
    Duration::from_micros(next.micros - killed.micros)
}

#[test]
fn three_schedulers_finish_one_job_a_day_although_one_is_killed() {
    Store::on_each(|store| {
        let bare = BareClient::start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(&folder);
        let words = format!("schedule {}", word(journal.path()));
        let mut programs = Program::start_many(3, &words, &store.url());
        for day in 1..=DAYS {
            programs.iter().for_each(|program| program.send(&day.to_string()));
            if day == KILL_DAY {
                let after = kill_in_mid_job(&mut programs, &journal);
                let delay = bare.delay();
                println!(
                    "{}: the next job began {after:.1?} after the kill, the machine may delay it by {delay:.1?}",
                    store.url()
                );
                assert!(after <= LEASE + MINUTE + delay, "{after:?}, {delay:?}");
            }
            eventually("the end of the job", || of_day(&journal, "end", day).pop());
            // The schedulers try again, each of them several times.
            thread::sleep(10 * MINUTE);
            let begun = of_day(&journal, "begin", day).len();
            assert_eq!(
                begun,
                if day == KILL_DAY { 2 } else { 1 },
                "{:?}",
                journal.lines()
            );
            assert_eq!(of_day(&journal, "end", day).len(), 1, "{:?}", journal.lines());
        }
        assert!(
            Event::named(&journal, "error").is_empty(),
            "{:?}",
            journal.lines()
        );
    });
}
