//! `docs/operating.md` is true: the fields of an entry and the script that finds held locks.

use std::cell::Cell;
use std::process::{Command, id};

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_testkit::Redis;

const PAGE: &str = include_str!("../../docs/operating.md");

#[dspinlock(name = "operating::report", key = id, cached_if_computed, label = "report:{id}", ttl = "1m")]
fn report(id: u64, body: &dyn Fn()) -> Result<String, Error> {
    body();
    Ok(format!("report {id}, with a\nsecond line"))
}

/// The block of the page that begins with these words.
fn block(start: &str) -> &'static str {
    let block = PAGE.split("```").find(|block| block.contains(start));
    let block = block.expect("the page has this block");
    block
        .split_once('\n')
        .expect("the first line names the language")
        .1
}

/// The first line of the only entry.
fn first_line(server: &Redis) -> String {
    let entry = server.bytes(&server.only_name()).expect("an entry");
    let line = entry.split(|byte| *byte == b'\n').next().expect("a line");
    assert!(line.len() < 545, "GETRANGE of the page reads 545 bytes");
    String::from_utf8(line.to_vec()).expect("the first line is text")
}

#[test]
fn the_fields_of_an_entry_are_those_of_the_page() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    let fence = Cell::new(0);
    let check = |kind: &str| {
        let line = first_line(&server);
        let (head, rest) = line.split_at(33);
        assert!(head.starts_with(kind), "{line}");
        assert_eq!(head[17..], format!("{:016}", fence.get()));
        let fields: Vec<&str> = rest.split(',').collect();
        assert_eq!(fields[0], id().to_string());
        assert!(!fields[1].is_empty(), "the host is missing: {line}");
        assert_eq!(fields[fields.len() - 2..], ["report:3", "operating::report"]);
        fields.get(3).map(|field| (*field).to_owned())
    };
    let body = || {
        fence.set(dspinlock::current().expect("a lease").fence());
        check("B");
    };
    pool.scope_blocking(|| report(3, &body)).unwrap();
    assert_eq!(check("V").as_deref(), Some("60000"), "the ttl");
}

#[test]
fn the_table_of_the_page_explains_its_example() {
    let example = block("redis-cli GETRANGE")
        .lines()
        .nth(1)
        .expect("the first line");
    let (head, rest) = example.split_at(33);
    let fields: Vec<&str> = rest.split(',').collect();
    let [label, site] = fields[fields.len() - 2..] else {
        panic!("{example}")
    };
    let last = format!("{label}`, `{site}");
    for part in [&head[..1], &head[1..17], &head[17..], fields[0], fields[1], &last] {
        assert!(
            PAGE.contains(&format!("| `{part}` |")),
            "the table does not explain `{part}`"
        );
    }
}

#[test]
fn the_script_of_the_page_finds_held_locks() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).unwrap();
    pool.scope_blocking(|| report(1, &|| ())).unwrap();
    let stored = server.only_name();
    let script = block("--scan").replace("redis-cli", &format!("redis-cli -p {}", server.port()));
    let found = || {
        let output = Command::new("sh").args(["-c", &script]).output();
        String::from_utf8(output.expect("sh starts").stdout).expect("the first lines are text")
    };
    let body = || {
        let found = found();
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 1, "{found}");
        assert!(lines[0].ends_with(",report:2,operating::report"), "{found}");
        assert!(!lines[0].contains(&stored), "{found}");
    };
    pool.scope_blocking(|| report(2, &body)).unwrap();
    assert_eq!(found(), "", "no lock is held");
}
