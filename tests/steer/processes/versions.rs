//! `version`: two versions of a program share a store, and never read or overwrite each other's results.

use std::collections::BTreeMap;

use dspinlock::{Error, dspinlock};
use dspinlock_testkit::{Journal, Redis};

use super::{Event, Program, heard, number, say, word};
use crate::common::logs;
use crate::common::store::Store;

const KEYS: u64 = 20;
const ROUNDS: usize = 25;

/// The function of the old program, with and without a version.
mod old {
    use super::*;

    #[dspinlock(name = "steer::report", version = 1, key = id, cached_if_computed)]
    pub(super) fn report(id: u64, journal: &Journal) -> Result<u64, Error> {
        journal.append(format_args!("run 1 {id}"));
        Ok(id)
    }

    #[dspinlock(name = "steer::unversioned", key = id, cached_if_computed)]
    pub(super) fn unversioned(id: u64, journal: &Journal) -> Result<u64, Error> {
        journal.append(format_args!("run 1 {id}"));
        Ok(id)
    }
}

/// The new program's: their values have another type.
mod new {
    use super::*;

    #[dspinlock(name = "steer::report", version = 2, key = id, cached_if_computed)]
    pub(super) fn report(id: u64, journal: &Journal) -> Result<(u64, String), Error> {
        journal.append(format_args!("run 2 {id}"));
        Ok((id, "new".into()))
    }

    #[dspinlock(name = "steer::unversioned", key = id, cached_if_computed)]
    pub(super) fn unversioned(id: u64, journal: &Journal) -> Result<(u64, String), Error> {
        journal.append(format_args!("run 2 {id}"));
        Ok((id, "new".into()))
    }
}

/// Whether the call returned the value of this program.
fn is_own(program: u64, function: &str, id: u64, journal: &Journal) -> bool {
    let own = (id, "new".to_owned());
    match (program, function) {
        (1, "report") => old::report(id, journal).is_ok_and(|value| value == id),
        (1, _) => old::unversioned(id, journal).is_ok_and(|value| value == id),
        (_, "report") => new::report(id, journal).is_ok_and(|value| value == own),
        (_, _) => new::unversioned(id, journal).is_ok_and(|value| value == own),
    }
}

/// Each line is a function, a first key and a number of keys.
pub(super) fn program(words: &str) {
    let (version, journal) = words.split_once(' ').expect("a version and a journal");
    let (version, journal) = (number(version), Journal::at(journal));
    while let Some(line) = heard() {
        let words: Vec<_> = line.split(' ').collect();
        if words[0] == "warnings" {
            let warnings = logs::lines();
            say(warnings.iter().filter(|line| line.starts_with("WARN")).count());
            continue;
        }
        let ids = number(words[1])..number(words[2]);
        let own = ids
            .clone()
            .filter(|id| is_own(version, words[0], *id, &journal))
            .count();
        say(own == ids.count());
    }
}

/// The tag and fence of each entry.
fn heads(server: &Redis) -> BTreeMap<String, String> {
    let entries = server.keys().into_iter().map(|key| {
        let entry = server.bytes(&key).expect("an entry");
        (key, String::from_utf8_lossy(&entry[..33]).into_owned())
    });
    entries.collect()
}

fn call_all(programs: &[Program]) {
    let line = format!("report 0 {KEYS}");
    programs.iter().for_each(|program| program.send(&line));
    for program in programs {
        assert_eq!(program.recv(), "true", "a value of another type");
    }
}

fn start(folder: &tempfile::TempDir, url: &str) -> (Journal, [Program; 4]) {
    let journal = Journal::in_folder(folder);
    let programs = [1, 2, 1, 2]
        .map(|version| Program::start(&format!("report {version} {}", word(journal.path())), url));
    (journal, programs)
}

#[test]
fn two_versions_of_a_program_never_touch_the_entries_of_each_other() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (journal, programs) = start(&folder, &store.url());
        call_all(&programs);
        let entries = |store: &Store| match store {
            Store::Redis(server) => heads(server),
            Store::Embedded(_) => BTreeMap::new(),
        };
        let before = entries(&store);
        for _ in 0..ROUNDS {
            for one in programs.chunks(1) {
                call_all(one);
            }
            call_all(&programs);
        }
        assert_eq!(entries(&store), before, "an entry was overwritten");
        let runs = Event::named(&journal, "run");
        assert_eq!(runs.len(), 2 * KEYS as usize, "one run of each key and version");
        for program in &programs {
            assert_eq!(program.request("warnings"), "0");
        }
    });
}

#[test]
fn without_a_version_two_programs_overwrite_the_entries_of_each_other() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (journal, programs) = start(&folder, &store.url());
        for _ in 0..ROUNDS {
            for program in &programs {
                assert_eq!(program.request("unversioned 7 8"), "true");
            }
        }
        let runs = Event::named(&journal, "run").len();
        assert_eq!(
            runs,
            ROUNDS * programs.len(),
            "each call finds a value of the other type"
        );
        for program in &programs {
            assert_eq!(program.request("warnings"), "1", "it is told once");
        }
    });
}
