//! Figures of several processes. A process is this binary, started again as a program that a test drives by lines.

mod detached;
mod errors;
mod invalidation;
mod payments;
mod schedulers;
mod served;
mod unopened;
mod versions;

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::{env, fmt, io};

use dspinlock_testkit::{ChildProcess, Journal};

use crate::common::logs;

/// The environment variable with the words of a program: its name, then its arguments.
const PROGRAM: &str = "DSPINLOCK_TEST_PROGRAM";

/// Not a test: the main function of the programs. In an ordinary run it returns at once.
#[test]
fn main() {
    let Ok(words) = env::var(PROGRAM) else { return };
    // The test harness has started a line.
    println!();
    logs::capture();
    let (program, words) = words.split_once(' ').expect("a program has arguments");
    match program {
        "read" => invalidation::read_all_the_time(words),
        "read_on_demand" => invalidation::read_on_demand(words),
        "detach" => detached::program(words),
        "fail" => errors::program(words),
        "pay" => payments::program(words),
        "schedule" => schedulers::program(words),
        "unopened" => unopened::program(words),
        "serve" => served::program(words),
        "report" => versions::program(words),
        other => panic!("no program {other}"),
    }
}

/// A program that runs. It is killed on drop.
struct Program(ChildProcess);

impl Program {
    /// Starts the program with this name and these arguments. Its global pool is the store at `url`.
    fn start(words: &str, url: &str) -> Self {
        let environment = [(PROGRAM, words), ("DSPINLOCK_URL", url)];
        Self(ChildProcess::own_test("processes::main", &environment))
    }

    fn start_many(count: usize, words: &str, url: &str) -> Vec<Self> {
        (0..count).map(|_| Self::start(words, url)).collect()
    }

    /// The id of its process.
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn send(&self, line: &str) {
        self.0.send(line);
    }

    /// The next line that the program has said. The lines of the test harness are skipped.
    fn recv(&self) -> String {
        loop {
            if let Some(said) = self.0.recv().strip_prefix('>') {
                return said.to_owned();
            }
        }
    }

    fn request(&self, line: &str) -> String {
        self.send(line);
        self.recv()
    }
}

/// In a program: sends one line to the test.
fn say(line: impl Display) {
    println!(">{line}");
}

/// In a program: the next line of the test, or `None` if the test has ended.
fn heard() -> Option<String> {
    io::stdin().lines().next()?.ok()
}

/// An event of a journal: its time in microseconds, its name and its words.
struct Event {
    micros: u64,
    name: String,
    words: Vec<String>,
}

impl Event {
    /// The events with this name.
    fn named(journal: &Journal, name: &str) -> Vec<Self> {
        let mut events = Self::all(journal);
        events.retain(|event| event.name == name);
        events
    }

    fn all(journal: &Journal) -> Vec<Self> {
        let parse = |line: &String| {
            let mut words = line.split(' ').map(ToOwned::to_owned);
            Self {
                micros: number(&words.next().expect("a time")),
                name: words.next().expect("a name"),
                words: words.collect(),
            }
        };
        journal.lines().iter().map(parse).collect()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.micros, self.name, self.words.join(" "))
    }
}

fn number<T: FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is not a number"))
}

/// The path as a word of a program.
fn word(path: &Path) -> &str {
    path.to_str().expect("a path of the test is text")
}
