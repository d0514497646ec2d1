//! Entries are listed, described and deleted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dspinlock::{Entry, Pool};
use dspinlock_testkit::{BareClient, Redis};
use serde_json::Value;

use crate::stage::{Ended, Store, dspinlock, lock, price, run};

fn objects(ended: &Ended) -> Vec<Value> {
    let parse = |line: &&str| serde_json::from_str(line).expect("a JSON object");
    ended.lines().iter().map(parse).collect()
}

/// Runs `look` in the body of the function `app::report` with the label `report:3`.
fn while_running(pool: &Pool, look: impl FnOnce()) {
    let site = dspinlock::site("app::report")
        .part(&3_u64)
        .label("report:3")
        .pool(pool);
    site.run_blocking(|| {
        look();
        Ok::<(), dspinlock::Error>(())
    })
    .expect("the lock is granted");
}

#[test]
fn each_entry_is_listed_once_with_its_holder_on_every_store() {
    for store in Store::all() {
        let pool = store.pool();
        let name = price(&pool, 7);
        Entry::of::<u64>("app::price")
            .part(&1_u64)
            .prefix("other")
            .pool(&pool)
            .prime_blocking(&1)
            .expect("stored");
        let (_, held) = lock(&pool, "nightly");
        while_running(&pool, || {
            let listed = store.run(&["ls"]);
            let rows: Vec<Vec<&str>> = listed
                .lines()
                .iter()
                .map(|line| line.split("  ").collect())
                .collect();
            assert_eq!(rows.len(), 3, "{listed:?}");
            assert!(!listed.stdout.contains(['\t', '\x1b']), "{listed:?}");
            let of_site = |site: &str| {
                let row = rows
                    .iter()
                    .find(|row| row[0] == site)
                    .expect("the site is listed");
                let [_, label, state, age, holder, left, key] = row[..] else {
                    panic!("{row:?}")
                };
                assert!(holder.starts_with(&format!("{}@", std::process::id())), "{row:?}");
                assert!(
                    age.ends_with('s') && left.ends_with(['s', 'm', 'h', 'd']),
                    "{row:?}"
                );
                (label, state, key)
            };
            assert_eq!(of_site("app::price"), ("-", "computed", &*name));
            let (label, state, _) = of_site("app::report");
            assert_eq!((label, state), ("report:3", "held"));
            assert_eq!(of_site("-").1, "held", "an explicit lock has no site");

            assert_eq!(store.run(&["ls", "--held"]).lines().len(), 2);
            assert_eq!(
                store.run(&["ls", "--held", "--site", "app::price"]).lines().len(),
                0
            );
            let of_price = store.run(&["ls", "--site", "app::price"]);
            assert!(
                of_price.lines().len() == 1 && of_price.stdout.contains(&name),
                "{of_price:?}"
            );
            assert_eq!(store.run(&["ls", "--prefix", "other"]).lines().len(), 1);
            assert_eq!(store.run(&["ls", "--prefix", ""]).lines().len(), 4);
            assert_eq!(store.run(&["ls", "--prefix", "absent"]).lines().len(), 0);

            let objects = objects(&store.run(&["ls", "--json", "--site", "app::report"]));
            let [report] = &*objects else {
                panic!("{objects:?}")
            };
            assert_eq!(
                (&report["state"], &report["label"]),
                (&"held".into(), &"report:3".into())
            );
            assert_eq!(report["process_id"], std::process::id());
            let age = report["age_seconds"].as_f64().expect("seconds");
            assert!((0.0..60.0).contains(&age), "{report}");
            assert!(
                report["lease_left_seconds"].as_f64().expect("seconds") > 0.0,
                "{report}"
            );
            assert!(
                report["expires_in_seconds"].is_null() && report["fence"].is_u64(),
                "{report}"
            );
        });
        held.release_blocking().expect("held");
    }
}

#[test]
fn one_entry_is_described_and_never_its_value() {
    for store in Store::all() {
        let pool = store.pool();
        let entry = Entry::of::<String>("app::secret").part("argument").pool(&pool);
        entry.prime_blocking(&"hunter2".to_owned()).expect("stored");
        let name = entry.key().expect("a name");
        let shown = store.run(&["show", &name]);
        let field = |name: &str| {
            let line = shown
                .lines()
                .into_iter()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
            line.map(|text| text.trim().to_owned())
        };
        assert_eq!(field("key").as_deref(), Some(&*name));
        assert_eq!(field("site").as_deref(), Some("app::secret"));
        assert_eq!(field("state").as_deref(), Some("computed"));
        assert!(
            field("computed by").is_some() && field("expires in").is_some(),
            "{shown:?}"
        );
        assert_eq!(field("holder"), None, "{shown:?}");
        let json = store.run(&["show", &name, "--json"]);
        assert_eq!(objects(&json)[0]["key"], *name);
        for text in [&shown.stdout, &json.stdout] {
            assert!(!text.contains("hunter2") && !text.contains("argument"), "{text}");
        }
        let absent = store.run(&["show", "dspinlock:nightly"]);
        assert_eq!((absent.code, &*absent.stdout), (Some(66), ""), "{absent:?}");
        assert!(absent.stderr.contains("`dspinlock:nightly`"), "{absent:?}");
        assert_eq!(
            store.run(&["show", "a{b}c"]).code,
            Some(64),
            "no key has this name"
        );
    }
}

#[test]
fn an_entry_or_those_of_a_site_are_deleted_and_no_other_one() {
    for store in Store::all() {
        let pool = store.pool();
        let mut names: Vec<String> = (0..40).map(|id| price(&pool, id)).collect();
        names.sort();
        let (other, held) = lock(&pool, "nightly");
        let count = || store.run(&["ls"]).lines().len();

        let unasked = store.run(&["rm", &names[0]]);
        assert!(
            unasked.code == Some(64) && unasked.stderr.contains("--yes"),
            "{unasked:?}"
        );
        let dry = store.run(&["rm", "--site", "app::price", "--dry-run"]);
        let mut listed = dry.lines();
        listed.sort_unstable();
        assert_eq!(listed, names);
        assert_eq!(store.run(&["rm", &names[0], "--dry-run"]).lines(), [&names[0]]);
        assert_eq!(count(), 41, "nothing was deleted");

        assert_eq!(store.run(&["rm", &names[0], "--yes"]).lines(), [&names[0]]);
        assert_eq!(count(), 40);
        assert_eq!(store.run(&["rm", &names[0], "--yes"]).code, Some(66));
        let deleted = store.run(&["rm", "--site", "app::price", "--yes"]);
        let mut listed = deleted.lines();
        listed.sort_unstable();
        assert_eq!(listed, names[1..]);
        assert_eq!(count(), 1, "the lock is still held");
        assert_eq!(store.run(&["rm", "--site", "app::price", "--yes"]).code, Some(66));

        assert_eq!(store.run(&["rm", &other, "--yes"]).lines().len(), 1);
        assert!(held.release_blocking().is_err(), "the holder has lost its lease");
    }
}

#[test]
fn rm_needs_a_key_or_a_site() {
    let url = "sqlite::memory:";
    for arguments in [
        &["rm", "--yes"][..],
        &["rm", "--prefix", "x", "--yes"],
        &["rm", "a", "--site", "b"],
    ] {
        let refused = run(url, arguments);
        assert!(
            refused.code == Some(64) && refused.stderr.contains("Usage"),
            "{refused:?}"
        );
    }
}

#[test]
fn an_entry_of_another_program_is_listed_and_can_be_deleted() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).expect("a good URL");
    let [one, two] = [1, 2].map(|id| price(&pool, id));
    server.raw(&["SET", &one, "{}"]);
    let list = format!("dspinlock,a{}", "x".repeat(32));
    server.raw(&["RPUSH", &list, "1"]);
    let listed = run(&server.url(), &["ls"]);
    let state = |name: &str| {
        let line = listed
            .lines()
            .into_iter()
            .find(|line| line.ends_with(name))
            .expect("it is listed");
        line.split("  ").nth(2).expect("a state").to_owned()
    };
    assert_eq!(state(&one), "foreign");
    assert_eq!(state(&list), "foreign");
    assert_eq!(state(&two), "computed");
    assert!(run(&server.url(), &["show", &one]).stdout.contains("foreign"));
    assert_eq!(run(&server.url(), &["rm", &list, "--yes"]).lines(), [&list]);
    assert_eq!(server.keys().len(), 2);
}

#[test]
fn an_entry_of_another_program_under_its_own_name_is_deleted_only_on_request() {
    let server = Redis::start();
    server.raw(&["SET", "session:42", "{}"]);
    let rm = |options: &[&str]| run(&server.url(), &[&["rm", "session:42"], options].concat());
    let refused = rm(&["--yes"]);
    assert_eq!((refused.code, &*refused.stdout), (Some(64), ""), "{refused:?}");
    assert!(
        refused.stderr.contains("another program wrote `session:42`") && refused.stderr.contains("--foreign"),
        "{refused:?}"
    );
    assert_eq!(rm(&["--dry-run"]).lines(), ["session:42"]);
    assert_eq!(server.keys().len(), 1);
    assert_eq!(rm(&["--yes", "--foreign"]).lines(), ["session:42"]);
    assert!(server.keys().is_empty());
}

#[test]
fn a_terminal_does_not_execute_a_text_of_the_store() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).expect("a good URL");
    let name = price(&pool, 1);
    let entry = server.bytes(&name).expect("an entry");
    let at = entry
        .windows(10)
        .position(|text| text == b"app::price")
        .expect("the site");
    // A cursor movement, the same as one character of the upper control codes, and a change of direction.
    let unsafe_text = "\x1b[2J\u{9b}2J\u{202e}\u{200b}";
    let forged = [&entry[..at], unsafe_text.as_bytes(), &entry[at..]].concat();
    server.raw(&[b"SET".as_slice(), name.as_bytes(), &forged]);
    for arguments in [
        &["ls"][..],
        &["ls", "--json"],
        &["show", &name],
        &["show", &name, "--json"],
    ] {
        let ended = run(&server.url(), arguments);
        let shown = ended.lines().join("");
        let found = shown.contains(|c: char| c.is_control() || unsafe_text[2..].contains(c) && !c.is_ascii());
        assert!(!found && shown.contains("app::price"), "{ended:?}");
    }
}

#[test]
fn a_server_that_is_away_has_a_code_and_hides_the_password() {
    let mut server = Redis::start();
    server.kill();
    let url = server.url_for("someone", "hunter2");
    for arguments in [&["ls"][..], &["show", "k"], &["rm", "k", "--yes"]] {
        let failed = run(&url, arguments);
        assert_eq!(failed.code, Some(69), "{failed:?}");
        assert!(failed.stderr.contains(&server.port().to_string()), "{failed:?}");
        assert!(!failed.stderr.contains("hunter2"), "{failed:?}");
    }
}

/// Copies an entry to this many names.
fn load(server: &Redis, count: usize) {
    let pool = Pool::open(&server.url()).expect("a good URL");
    let entry = server.bytes(&price(&pool, 1)).expect("an entry");
    let script = "for i = 1, ARGV[1] do redis.call('SET', string.format('dspinlock,a%032d', i), ARGV[2], 'PX', 3600000) end";
    server.raw(&[
        b"EVAL".as_slice(),
        script.as_bytes(),
        b"0",
        count.to_string().as_bytes(),
        &entry,
    ]);
}

/// Sends `PING` every millisecond while `work` runs. Returns its result and the longest round trip.
fn longest_pause<T>(server: &Redis, work: impl FnOnce() -> T) -> (T, Duration) {
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut connection =
                TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
            let mut longest = Duration::ZERO;
            while running.load(Ordering::Relaxed) {
                let start = Instant::now();
                connection.write_all(b"PING\r\n").expect("sent");
                connection.read_exact(&mut [0; 7]).expect("PONG");
                longest = longest.max(start.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            longest
        });
        let result = work();
        running.store(false, Ordering::Relaxed);
        (result, pings.join().expect("the server replies"))
    })
}

/// Reads this many rows of `ls`, then closes the pipe. Returns the time of the first one, and how the program ended.
fn read_rows(server: &Redis, count: usize) -> (Duration, Ended) {
    let start = Instant::now();
    let mut child = dspinlock(&server.url(), &["ls"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut rows = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || rows.next().expect("a row").expect("text");
    assert!(next().contains("app::price"));
    let first = start.elapsed();
    (1..count).for_each(|_| drop(next()));
    drop(rows);
    (first, Ended::of(&child.wait_with_output().expect("our child")))
}

#[test]
fn the_first_rows_of_many_arrive_at_once_and_a_closed_pipe_ends_quietly() {
    let server = Redis::start();
    load(&server, 200_000);
    let machine = BareClient::start();
    let (first, ended) = read_rows(&server, 1);
    let limit = Duration::from_millis(200) + machine.delay();
    assert!(first <= limit, "{first:?}, limit {limit:?}");
    assert_eq!((ended.code, &*ended.stderr), (Some(141), ""));
    let scans = server.command_count(Some("scan"));
    assert!((1..100).contains(&scans), "it has not read the rest: {scans}");
}

#[test]
fn a_listing_of_many_entries_does_not_block_the_server() {
    let server = Redis::start();
    load(&server, 200_000);
    let ((), idle) = longest_pause(&server, || std::thread::sleep(Duration::from_secs(2)));
    let machine = BareClient::start();
    let ((_, ended), busy) = longest_pause(&server, || read_rows(&server, 20_000));
    assert_eq!(ended.code, Some(141), "{ended:?}");
    let limit = idle + Duration::from_millis(5) + machine.delay();
    assert!(busy <= limit, "{busy:?}, limit {limit:?}");
}
