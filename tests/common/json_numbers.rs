//! Numbers of `serde_json` as keys and values. `tests/it` runs this test without the feature `arbitrary_precision`, and
//! `tests/precision` with it.

use std::sync::atomic::{AtomicU32, Ordering};

use dspinlock::{Error, HashDSpinlock, Pool, dspinlock};
use serde_json::Value;

static RUNS: AtomicU32 = AtomicU32::new(0);

#[dspinlock(key = json, cached_if_computed)]
fn echo(json: &str) -> Result<Value, Error> {
    RUNS.fetch_add(1, Ordering::Relaxed);
    Ok(parse(json))
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("valid JSON")
}

/// Computed by another program, from the bytes of `u64`, `i64` and `f64`.
const KEYS: [(&str, &str); 3] = [
    (
        "7",
        "dspinlock,999aa05a0fda1b472ab3d54acee1eb02baf02e9bb43e1d0c84cf40c86796b28e",
    ),
    (
        "[-7,0.5,1000.0]",
        "dspinlock,1404bda6acc5581cd9f97afbd05a4180ab4b20649a5d71fda8dc49ae308ed1ae",
    ),
    (
        r#"{"a":{"b":18446744073709551615},"c":"7"}"#,
        "dspinlock,ee1bc20273d314de1b96182248b1e2f44373bd1e5cdcc360c00d88e608719f9d",
    ),
];

#[test]
fn a_json_number_has_one_key_in_every_build() {
    for (json, key) in KEYS {
        assert_eq!(HashDSpinlock::new(parse(json)).key().unwrap(), key, "{json}");
    }
}

#[test]
fn a_json_number_is_stored_in_every_build() {
    let _ = dspinlock::init(Pool::open("sqlite::memory:").unwrap());
    for (json, _) in KEYS {
        let before = RUNS.load(Ordering::Relaxed);
        for _ in 0..2 {
            assert_eq!(echo(json).unwrap().to_string(), json);
        }
        assert_eq!(RUNS.load(Ordering::Relaxed), before + 1, "{json}");
    }
}
