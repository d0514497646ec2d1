//! Interoperability with the real py-dspinlock 0.3.1 on the same Redis server.

use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

use dspinlock::{Acquired, HashDSpinlock, Pool};
use dspinlock_testkit::{ChildProcess, Job, Redis, Worker};

use crate::common::python::peer;

const SHORT_PAUSE: Duration = Duration::from_millis(300);

/// A server, a Python peer with a lock on the key `example`, and a Rust worker.
fn peers(options: &str) -> (Redis, ChildProcess, Worker) {
    let server = Redis::start();
    let python = peer(&server);
    assert_eq!(python.request(&format!("new a key=example {options}")), "ok");
    let rust = Worker::start(&server.url());
    (server, python, rust)
}

/// A call of a function with `name = ""`, on the key `example`.
fn job(function: &str) -> Job {
    Job::new(function, "example").with("sleep", 100)
}

fn state(server: &Redis) -> Option<String> {
    server.get("dspinlock,50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c")
}

#[test]
fn rust_waits_for_a_python_holder() {
    for function in ["shared", "shared_uncached"] {
        let (_server, python, rust) = peers("");
        assert_eq!(python.request("acquire a"), "ok");
        let call = rust.call(&job(function));
        sleep(SHORT_PAUSE);
        assert!(call.is_pending(), "{function} runs while Python holds the key");
        assert_eq!(python.request("release a"), "ok");
        // A cached call returns, because COMPUTED is the whole result.
        assert_eq!(call.outcome().0, usize::from(function == "shared_uncached"));
    }
}

#[test]
fn python_waits_for_a_rust_holder() {
    for options in ["sleep=0.05 tries=500", "sleep=0.05 tries=500 cached"] {
        let (server, python, rust) = peers(options);
        let call = rust.call(&job("shared").with("body", "gate"));
        call.started();
        python.send("acquire a");
        sleep(SHORT_PAUSE);
        assert!(
            state(&server).unwrap().ends_with(",0"),
            "Python overwrote the holder"
        );
        call.open_gate();
        assert!(call.result().is_ok());
        assert_eq!(python.recv(), "ok");
        let tag = python.request("tag a");
        let taken = state(&server).unwrap().starts_with(&tag);
        assert_eq!(
            taken,
            !options.contains("cached"),
            "only an uncached lock acquires a computed key"
        );
        assert_eq!(python.request("release a"), "ok");
        assert!(state(&server).unwrap().ends_with(",1"));
    }
}

#[test]
fn python_fails_after_its_tries_while_rust_holds() {
    let (_server, python, rust) = peers("sleep=0.01 tries=3");
    let call = rust.call(&job("shared").with("body", "gate"));
    call.started();
    assert_eq!(python.request("acquire a"), "error SpinlockTriesExceeded");
    call.open_gate();
    assert!(call.result().is_ok());
    assert_eq!(python.request("acquire a"), "ok");
}

#[test]
fn a_release_of_python_counts_as_computed() {
    let (server, python, rust) = peers("");
    assert_eq!(
        (python.request("acquire a"), python.request("release a")),
        ("ok".into(), "ok".into())
    );
    let pool = Pool::open(&server.url()).unwrap();
    let lock = |cached| {
        HashDSpinlock::new("example")
            .cached_if_computed(cached)
            .pool(&pool)
    };
    let before = state(&server);
    assert!(matches!(
        lock(true).acquire_blocking().unwrap(),
        Acquired::Computed
    ));
    assert_eq!(rust.call(&job("shared")).outcome(), (0, Ok("computed".into())));
    assert_eq!(rust.call(&job("shared_uncached")).outcome().0, 1);
    assert_eq!(rust.call(&job("shared")).outcome(), (0, Ok("computed".into())));
    assert_ne!(state(&server), before);
    assert!(matches!(
        lock(false).acquire_blocking().unwrap(),
        Acquired::Locked(_)
    ));
}

#[test]
fn a_takeover_by_python_discards_the_result_of_rust() {
    let (server, python, rust) = peers("block=0.05 sleep=0.05");
    let call = rust.call(&job("shared").with("body", "gate").with("value", "old"));
    call.started();
    sleep(SHORT_PAUSE);
    assert_eq!(python.request("acquire a"), "ok");
    let taken = state(&server);
    call.open_gate();
    assert_eq!(
        call.result().as_deref(),
        Ok("old"),
        "the caller does not get its own value"
    );
    sleep(SHORT_PAUSE);
    assert_eq!(
        state(&server),
        taken,
        "the publish or the abort changed the state of Python"
    );
    assert_eq!(python.request("release a"), "ok");
    let next = rust.call(&job("shared")).outcome();
    assert_eq!(next, (0, Ok("computed".to_owned())));
}

#[test]
fn a_delete_by_python_discards_the_result_of_rust() {
    let (server, python, rust) = peers("");
    let call = rust.call(&job("shared").with("body", "gate").with("value", "old"));
    call.started();
    assert_eq!(python.request("delete a"), "True");
    call.open_gate();
    assert_eq!(call.result().as_deref(), Ok("old"));
    assert_eq!(state(&server), None);
    let next = rust.call(&job("shared").with("value", "new"));
    assert_eq!(
        next.outcome(),
        (1, Ok("new".to_owned())),
        "the lost result was stored"
    );
    assert_eq!(
        (python.request("delete a"), python.request("delete a")),
        ("True".into(), "False".into())
    );
    let again = rust.call(&job("shared").with("value", "newer"));
    assert_eq!(
        again.outcome(),
        (1, Ok("newer".to_owned())),
        "a deleted result was used"
    );
}

#[test]
fn a_late_release_of_python_changes_nothing() {
    let (server, python, rust) = peers("");
    assert_eq!(python.request("acquire a"), "ok");
    // Rust takes a lock over that is older than its `max_block_time`, after it has seen the same state for 5 s.
    let job = job("shared").with("block", 1000).with("lease", 1000);
    let call = rust.call(&job.clone().with("body", "gate").with("value", "new"));
    call.started();
    assert_eq!(
        python.request("release a"),
        "error InvalidMutexReleaseEncountered"
    );
    assert!(
        state(&server).unwrap().ends_with(",0"),
        "Python overwrote the holder"
    );
    call.open_gate();
    assert_eq!(call.result().as_deref(), Ok("new"));
    let published = state(&server);
    // On a COMPUTED state a release of Python succeeds and changes nothing.
    assert_eq!(python.request("release a"), "ok");
    assert_eq!(state(&server), published);
    assert_eq!(rust.call(&job).outcome(), (0, Ok("computed".to_owned())));
}

#[test]
fn fail_if_key_exists_works_in_both_directions() {
    let (server, python, rust) = peers("fail");
    let pool = Pool::open(&server.url()).unwrap();
    let lock = HashDSpinlock::new("example").fail_if_key_exists(true).pool(&pool);
    assert!(rust.call(&job("shared")).result().is_ok());
    assert_eq!(python.request("acquire a"), "error FailIfKeyExistsIsEnabled");
    assert_eq!(python.request("delete a"), "True");
    assert_eq!(python.request("acquire a"), "ok");
    let error = lock.acquire_blocking().unwrap_err();
    assert!(
        matches!(
            error,
            dspinlock::Error::FailIfKeyExistsIsEnabled {
                remaining: Some(_),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn strings_and_bytes_have_the_keys_of_python() {
    let server = Redis::start();
    let python = peer(&server);
    let long = "x".repeat(1 << 20);
    for text in ["example", "", "ключ", "a,b", "{tag}", &long] {
        python.request(&format!("new a key={text}"));
        let rust = HashDSpinlock::new(text);
        assert_eq!(rust.key().unwrap(), python.request("key a"));
    }
    for bytes in [&b"example"[..], b"", b"\0\xff"] {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        python.request(&format!("new a hex={hex}"));
        let rust = HashDSpinlock::new(bytes);
        assert_eq!(rust.key().unwrap(), python.request("key a"));
    }
    python.request("new a key=example prefix=jobs");
    let rust = HashDSpinlock::new("example").prefix("jobs");
    assert_eq!(rust.key().unwrap(), python.request("key a"));
    // The attribute with `name = ""` uses the same key.
    let worker = Worker::start(&server.url());
    worker.call(&job("shared")).result().unwrap();
    assert!(state(&server).is_some(), "{:?}", server.keys());
}

#[test]
fn a_time_has_the_key_of_python_only_as_the_text_of_isoformat() {
    let server = Redis::start();
    let python = peer(&server);
    for micros in [
        0,
        1,
        250_000,
        1_767_323_045_000_000,
        1_767_323_045_120_000,
        253_402_300_799_999_999,
    ] {
        let time = UNIX_EPOCH + Duration::from_micros(micros);
        python.request(&format!("new a micros={micros}"));
        let of_python = python.request("key a");
        let text = dspinlock::isoformat(time);
        assert_eq!(HashDSpinlock::new(&text).key().unwrap(), of_python, "{text}");
        let of_chrono = text.replace("+00:00", "Z");
        assert_ne!(
            HashDSpinlock::new(&of_chrono).key().unwrap(),
            of_python,
            "{of_chrono}"
        );
        let milliseconds = format!("{}.120+00:00", &text[..19]);
        assert_ne!(
            HashDSpinlock::new(&milliseconds).key().unwrap(),
            of_python,
            "{milliseconds}"
        );
    }
}

#[test]
fn python_reads_every_state_that_rust_writes() {
    let (server, python, rust) = peers("");
    let check = |number: &str| {
        let raw = state(&server).expect("a state");
        let fields: Vec<&str> = raw.split(',').collect();
        let [tag, timestamp, value] = fields[..] else {
            panic!("{raw}")
        };
        assert_eq!(value, number);
        assert!(
            timestamp.len() == "2026-01-02T03:04:05.000006+00:00".len() && timestamp.ends_with("+00:00"),
            "{timestamp}"
        );
        assert!(python.request("unpack a").starts_with(&format!("{tag} ")));
        assert!(python.request("unpack a").ends_with(&format!(" {number}")));
    };
    let call = rust.call(&job("shared").with("body", "gate").with("lease", 300));
    call.started();
    check("0");
    sleep(SHORT_PAUSE);
    check("0");
    call.open_gate();
    call.result().unwrap();
    check("1");
}

#[test]
fn rust_reads_every_timestamp_that_python_may_write() {
    // Python omits a fraction of zero, and an older version may use another offset.
    for timestamp in [
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05.000001+00:00",
        "2026-01-02T03:04:05.5+02:00",
        "2026-01-02T03:04:05Z",
    ] {
        let server = Redis::start();
        let rust = Worker::start(&server.url());
        rust.call(&job("shared")).result().unwrap();
        let name = server.only_name();
        server.raw(&["SET", &name, &format!("0d9ef2f7,{timestamp},0")]);
        let call = rust.call(&job("shared"));
        sleep(SHORT_PAUSE);
        assert!(call.is_pending(), "{timestamp}: the call does not wait");
        server.raw(&["SET", &name, &format!("0d9ef2f7,{timestamp},1")]);
        assert_eq!(call.outcome(), (0, Ok("computed".into())), "{timestamp}");
    }
}

#[test]
fn under_load_neither_side_raises_a_parse_error() {
    let server = Redis::start();
    let peers: Vec<ChildProcess> = (0..2).map(|_| peer(&server)).collect();
    let workers = Worker::start_many(2, &server.url());
    for peer in &peers {
        peer.request("new a key=example sleep=0.001 tries=2000");
        peer.send("work a 200");
    }
    let job = job("shared_uncached").with("sleep", 5).with("tries", 10_000);
    for _ in 0..100 {
        for call in workers.iter().map(|worker| worker.call(&job)).collect::<Vec<_>>() {
            assert!(call.result().is_ok());
        }
    }
    for peer in &peers {
        let errors = peer.recv();
        // Python workers may fail by each other, because they write without a check.
        let own = ["InvalidMutexReleaseEncountered", "SpinlockTriesExceeded"];
        let foreign = errors
            .split('\'')
            .skip(1)
            .step_by(2)
            .find(|name| !own.contains(name));
        assert_eq!(foreign, None, "{errors}");
    }
}
