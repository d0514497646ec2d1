//! The real py-dspinlock 0.3.1 on the same Redis.

use std::thread::sleep;
use std::time::Duration;

use dspinlock::{Acquired, HashDSpinlock, Pool};
use dspinlock_testkit::{Job, Lines, Python, Redis, Worker};

const A_WHILE: Duration = Duration::from_millis(300);

/// A server, a Python worker with one lock on the key `example`, and a Rust worker.
fn meet(options: &str) -> (Redis, Lines, Worker) {
    let server = Redis::start();
    let python = peer(&server);
    assert_eq!(python.ask(&format!("new a key=example {options}")), "ok");
    let rust = Worker::start(&server.url());
    (server, python, rust)
}

fn peer(server: &Redis) -> Lines {
    Python::start(include_str!("../common/peer.py"), &[&server.port().to_string()])
}

/// A call of a function with `name = ""` on the key `example`.
fn job(function: &str) -> Job {
    Job::new(function, "example").with("sleep", 100)
}

fn state(server: &Redis) -> Option<String> {
    server.get("dspinlock,50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c")
}

#[test]
fn python_holds_and_rust_waits() {
    for function in ["shared", "shared_each"] {
        let (_server, python, rust) = meet("");
        assert_eq!(python.ask("acquire a"), "ok");
        let call = rust.call(&job(function));
        sleep(A_WHILE);
        assert!(call.is_quiet(), "{function} runs while Python holds its key");
        assert_eq!(python.ask("release a"), "ok");
        // Python leaves no value: the body has to run.
        assert_eq!(call.story().0, 1);
    }
}

#[test]
fn rust_holds_and_python_waits() {
    for options in ["sleep=0.05 tries=500", "sleep=0.05 tries=500 cached"] {
        let (server, python, rust) = meet(options);
        let call = rust.call(&job("shared").with("body", "gate"));
        call.began();
        python.say("acquire a");
        sleep(A_WHILE);
        assert!(
            state(&server).unwrap().ends_with(",0"),
            "Python does not disturb a holder"
        );
        call.go();
        assert!(call.end().is_ok());
        assert_eq!(python.hear(), "ok");
        let tag = python.ask("tag a");
        let taken = state(&server).unwrap().starts_with(&tag);
        assert_eq!(
            taken,
            !options.contains("cached"),
            "a cached lock does not take a computed key"
        );
        assert_eq!(python.ask("release a"), "ok");
        assert!(state(&server).unwrap().ends_with(",1"));
    }
}

#[test]
fn python_gives_up_after_its_tries_while_rust_holds() {
    let (_server, python, rust) = meet("sleep=0.01 tries=3");
    let call = rust.call(&job("shared").with("body", "gate"));
    call.began();
    assert_eq!(python.ask("acquire a"), "error SpinlockTriesExceeded");
    call.go();
    assert!(call.end().is_ok());
    assert_eq!(python.ask("acquire a"), "ok");
}

#[test]
fn python_leaves_computed() {
    let (server, python, rust) = meet("");
    assert_eq!(
        (python.ask("acquire a"), python.ask("release a")),
        ("ok".into(), "ok".into())
    );
    let pool = Pool::open(&server.url()).unwrap();
    let lock = |cached| {
        HashDSpinlock::new("example")
            .unwrap()
            .cached_if_computed(cached)
            .pool(&pool)
    };
    let before = state(&server);
    // The explicit API asks only whether; a function that wants a value computes it.
    assert!(matches!(
        lock(true).acquire_blocking().unwrap(),
        Acquired::Computed
    ));
    assert_eq!(state(&server), before);
    let first = rust.call(&job("shared")).story();
    assert_eq!(first.0, 1);
    assert_eq!(
        rust.call(&job("shared")).story(),
        (0, first.1),
        "the value that Rust left"
    );
    assert!(matches!(
        lock(false).acquire_blocking().unwrap(),
        Acquired::Locked(_)
    ));
}

#[test]
fn a_value_is_not_shown_under_a_state_that_python_wrote_later() {
    let (_server, python, rust) = meet("");
    assert_eq!(
        rust.call(&job("shared").with("value", "old")).end().as_deref(),
        Ok("old")
    );
    assert_eq!(
        (python.ask("acquire a"), python.ask("release a")),
        ("ok".into(), "ok".into())
    );
    let next = rust.call(&job("shared").with("value", "new")).story();
    assert_eq!(next, (1, Ok("new".to_owned())));
}

#[test]
fn python_takes_a_key_over() {
    let (server, python, rust) = meet("block=0.05 sleep=0.05");
    let call = rust.call(&job("shared").with("body", "gate").with("value", "old"));
    call.began();
    sleep(A_WHILE);
    assert_eq!(python.ask("acquire a"), "ok");
    let taken = state(&server);
    call.go();
    assert_eq!(call.end().as_deref(), Ok("old"), "the caller gets its own value");
    sleep(A_WHILE);
    assert_eq!(
        state(&server),
        taken,
        "neither publish nor abort touch Python's state"
    );
    assert_eq!(python.ask("release a"), "ok");
    let next = rust.call(&job("shared").with("value", "new")).story();
    assert_eq!(next, (1, Ok("new".to_owned())), "nothing was stored");
}

#[test]
fn python_deletes_a_key() {
    let (server, python, rust) = meet("");
    let call = rust.call(&job("shared").with("body", "gate").with("value", "old"));
    call.began();
    assert_eq!(python.ask("delete a"), "True");
    call.go();
    assert_eq!(call.end().as_deref(), Ok("old"));
    assert_eq!(state(&server), None);
    let next = rust.call(&job("shared").with("value", "new"));
    assert_eq!(next.story(), (1, Ok("new".to_owned())), "nothing was stored");
    assert_eq!(
        (python.ask("delete a"), python.ask("delete a")),
        ("True".into(), "False".into())
    );
    let again = rust.call(&job("shared").with("value", "newer"));
    assert_eq!(
        again.story(),
        (1, Ok("newer".to_owned())),
        "no value without a state"
    );
}

#[test]
fn python_releases_late() {
    let (server, python, rust) = meet("");
    assert_eq!(python.ask("acquire a"), "ok");
    // Rust takes over what is older than its `max_block_time`, once it has seen the same state for 5 s.
    let job = job("shared").with("block", 1000).with("lease", 1000);
    let call = rust.call(&job.clone().with("body", "gate").with("value", "new"));
    call.began();
    assert_eq!(python.ask("release a"), "error InvalidMutexReleaseEncountered");
    assert!(state(&server).unwrap().ends_with(",0"), "Rust still holds");
    call.go();
    assert_eq!(call.end().as_deref(), Ok("new"));
    let left = state(&server);
    // Over a COMPUTED state it passes without a word, and without a change.
    assert_eq!(python.ask("release a"), "ok");
    assert_eq!(state(&server), left);
    assert_eq!(rust.call(&job).story(), (0, Ok("new".to_owned())));
}

#[test]
fn both_fail_if_the_other_has_left_a_key() {
    let (server, python, rust) = meet("fail");
    let pool = Pool::open(&server.url()).unwrap();
    let lock = HashDSpinlock::new("example")
        .unwrap()
        .fail_if_key_exists(true)
        .pool(&pool);
    assert!(rust.call(&job("shared")).end().is_ok());
    assert_eq!(python.ask("acquire a"), "error FailIfKeyExistsIsEnabled");
    assert_eq!(python.ask("delete a"), "True");
    assert_eq!(python.ask("acquire a"), "ok");
    let error = lock.acquire_blocking().unwrap_err();
    assert!(
        matches!(
            error,
            dspinlock::Error::FailIfKeyExistsIsEnabled { left: Some(_), .. }
        ),
        "{error}"
    );
}

#[test]
fn the_same_key_text_for_text_and_bytes() {
    let server = Redis::start();
    let python = peer(&server);
    let long = "x".repeat(1 << 20);
    for text in ["example", "", "ключ", "a,b", "{tag}", &long] {
        python.ask(&format!("new a key={text}"));
        let rust = HashDSpinlock::new(text).unwrap();
        assert_eq!(rust.key(), python.ask("key a"));
    }
    for bytes in [&b"example"[..], b"", b"\0\xff"] {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        python.ask(&format!("new a hex={hex}"));
        let rust = HashDSpinlock::new(bytes).unwrap();
        assert_eq!(rust.key(), python.ask("key a"));
    }
    python.ask("new a key=example prefix=jobs");
    let rust = HashDSpinlock::new("example").unwrap().prefix("jobs");
    assert_eq!(rust.key(), python.ask("key a"));
    // The attribute with `name = ""` uses the same key.
    let worker = Worker::start(&server.url());
    worker.call(&job("shared")).end().unwrap();
    assert!(state(&server).is_some(), "{:?}", server.keys());
}

#[test]
fn python_reads_every_state_that_rust_writes() {
    let (server, python, rust) = meet("");
    let check = |number: &str| {
        let raw = state(&server).expect("a state");
        let fields: Vec<&str> = raw.split(',').collect();
        let [tag, stamp, value] = fields[..] else {
            panic!("{raw}")
        };
        assert_eq!(value, number);
        assert!(
            stamp.len() == "2026-01-02T03:04:05.000006+00:00".len() && stamp.ends_with("+00:00"),
            "{stamp}"
        );
        assert!(python.ask("unpack a").starts_with(&format!("{tag} ")));
        assert!(python.ask("unpack a").ends_with(&format!(" {number}")));
    };
    let call = rust.call(&job("shared").with("body", "gate").with("lease", 300));
    call.began();
    check("0");
    sleep(A_WHILE);
    check("0");
    call.go();
    call.end().unwrap();
    check("1");
}

#[test]
fn rust_reads_every_state_that_python_may_write() {
    // Python leaves out the fraction where it is zero, and an older version may use another offset.
    for stamp in [
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05.000001+00:00",
        "2026-01-02T03:04:05.5+02:00",
        "2026-01-02T03:04:05Z",
    ] {
        let (server, _python, rust) = meet("");
        rust.call(&job("shared")).end().unwrap();
        let name = server
            .keys()
            .into_iter()
            .find(|key| !key.starts_with('{'))
            .unwrap();
        server.raw(&["SET", &name, &format!("0d9ef2f7,{stamp},0")]);
        let call = rust.call(&job("shared"));
        sleep(A_WHILE);
        assert!(call.is_quiet(), "{stamp}: a fresh lock of another is waited for");
        server.raw(&["SET", &name, &format!("0d9ef2f7,{stamp},1")]);
        assert_eq!(call.story().0, 1, "{stamp}");
    }
}

#[test]
fn neither_raises_a_parse_error_in_the_other_under_load() {
    let server = Redis::start();
    let peers: Vec<Lines> = (0..2).map(|_| peer(&server)).collect();
    let workers = Worker::several(2, &server.url());
    for peer in &peers {
        peer.ask("new a key=example sleep=0.001 tries=2000");
        peer.say("work a 200");
    }
    let job = job("shared_each").with("sleep", 5).with("tries", 10_000);
    for _ in 0..100 {
        for call in workers.iter().map(|worker| worker.call(&job)).collect::<Vec<_>>() {
            assert!(call.end().is_ok());
        }
    }
    for peer in &peers {
        let errors = peer.hear();
        // What Python may do to itself: two of them take one key, as it writes without looking.
        let own = ["InvalidMutexReleaseEncountered", "SpinlockTriesExceeded"];
        let foreign = errors
            .split('\'')
            .skip(1)
            .step_by(2)
            .find(|name| !own.contains(name));
        assert_eq!(foreign, None, "{errors}");
    }
}
