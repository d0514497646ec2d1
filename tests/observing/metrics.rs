//! The counters and histograms, their names, and the files that list them.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use dspinlock::{Entry, Error, Pool, dspinlock};
use dspinlock_runtime::internals::metrics::NAMES;
use dspinlock_testkit::eventually;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::stores::Backend;

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        builder.install_recorder().expect("no other recorder is set")
    })
}

/// The sum of the samples of a metric whose labels contain all these texts.
fn sample(name: &str, labels: &[&str]) -> f64 {
    let text = recorder().render();
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let (of, value) = rest.rsplit_once(' ')?;
        let is_of = of.starts_with('{') && labels.iter().all(|label| of.contains(label));
        is_of.then(|| value.parse::<f64>().expect("a number"))
    };
    text.lines().filter_map(value).sum()
}

#[dspinlock(name = "metrics_value", key = id, cached_if_computed, near_cache = "1m")]
fn value(id: u64) -> Result<u64, Error> {
    thread::sleep(Duration::from_millis(100));
    Ok(id)
}

#[dspinlock(name = "metrics_error", key = id, cached_if_computed, err_ttl = "1m")]
fn error(id: u64) -> Result<u64, Text> {
    Err(Text(id.to_string()))
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Text(String);

impl From<Error> for Text {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

#[test]
fn each_way_of_a_call_is_counted() {
    recorder();
    let backend = Backend::redis();
    let pool = backend.pool("metrics");
    let id = fastrand::u64(..);
    pool.scope_blocking(|| {
        for _ in 0..5 {
            value(id).expect("a value");
        }
        for _ in 0..3 {
            error(id).expect_err("an error");
        }
    });
    let calls = |site, served| sample("dspinlock_calls_total", &[site, served]);
    let ways = ["computed", "hit", "near"].map(|way| calls("\"metrics_value\"", way));
    assert_eq!(ways, [1.0, 1.0, 3.0]);
    let ways = ["computed", "replayed_error"].map(|way| calls("\"metrics_error\"", way));
    assert_eq!(ways, [1.0, 2.0]);
    let count = |name: &str| sample(&format!("{name}_count"), &["\"metrics_value\""]);
    let names = [
        "dspinlock_hit_seconds",
        "dspinlock_wait_seconds",
        "dspinlock_compute_seconds",
    ];
    assert_eq!(names.map(count), [1.0, 1.0, 1.0]);
    let compute = sample("dspinlock_compute_seconds_sum", &["\"metrics_value\""]);
    assert!((0.1..10.0).contains(&compute), "{compute} s");
}

#[dspinlock(name = "metrics_follow", key = id, cached_if_computed)]
fn follow(id: u64) -> Result<u64, Error> {
    thread::sleep(Duration::from_millis(300));
    Ok(id)
}

#[dspinlock(name = "metrics_lost", key = id, lease = "600ms")]
fn lost(id: u64) -> Result<(), Error> {
    Entry::of::<()>("metrics_lost").part(&id).invalidate_blocking()?;
    let lease = dspinlock::current().expect("a lease");
    eventually("the loss", || lease.is_lost().then_some(()));
    Ok(())
}

#[test]
fn follows_lost_leases_and_errors_of_the_store_are_counted() {
    recorder();
    let backend = Backend::redis();
    let pool = backend.pool("metrics");
    let id = fastrand::u64(..);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| pool.scope_blocking(|| follow(id)).expect("a value"));
        }
    });
    let followed = sample("dspinlock_calls_total", &["\"metrics_follow\"", "followed"]);
    let waits = sample("dspinlock_wait_seconds_count", &["\"metrics_follow\""]);
    assert_eq!((followed, waits), (3.0, 4.0));
    pool.scope_blocking(|| lost(id)).expect("a run");
    assert_eq!(sample("dspinlock_lost_leases_total", &["\"metrics_lost\""]), 1.0);
    let away = Pool::open("redis://127.0.0.1:1").expect("a pool");
    let before = sample("dspinlock_store_errors_total", &["operation=\"read\""]);
    away.scope_blocking(|| follow(id)).expect_err("no server");
    assert_eq!(
        sample("dspinlock_calls_total", &["\"metrics_follow\"", "failed"]),
        1.0
    );
    assert!(sample("dspinlock_store_errors_total", &["operation=\"read\""]) > before);
}

#[dspinlock(name = "metrics_takeover", key = id, wait = "20s")]
fn taken_over(id: u64) -> Result<(), Error> {
    let _ = id;
    Ok(())
}

/// A holder that dies leaves an entry that nobody renews.
#[test]
fn a_lock_of_a_dead_holder_is_a_takeover() {
    recorder();
    let Backend::Redis(server) = Backend::redis() else {
        unreachable!("it is Redis")
    };
    let pool = Pool::open(&server.url()).expect("a pool");
    let id = fastrand::u64(..);
    let entry = Entry::of::<()>("metrics_takeover").part(&id).pool(&pool);
    let held = "Btag-of-16-bytes_00000000000000011,elsewhere,,,site\n";
    server.raw(&["SET", &entry.key().expect("a key"), held, "PX", "400"]);
    let takeovers = || sample("dspinlock_takeovers_total", &["\"metrics_takeover\""]);
    assert_eq!(takeovers(), 0.0);
    pool.scope_blocking(|| taken_over(id)).expect("a run");
    assert_eq!(takeovers(), 1.0);
    pool.scope_blocking(|| taken_over(id)).expect("a run");
    assert_eq!(takeovers(), 1.0, "a free key is none");
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c| !is_name(c));
    let ends = [
        "_total",
        "_seconds",
        "_seconds_sum",
        "_seconds_count",
        "_seconds_bucket",
    ];
    words
        .filter(|word| word.starts_with("dspinlock_") && ends.iter().any(|end| word.ends_with(end)))
        .map(|word| {
            let base = word
                .rsplit_once("_seconds")
                .map(|(base, _)| base.len() + "_seconds".len());
            &word[..base.unwrap_or(word.len())]
        })
        .collect()
}

#[test]
fn the_page_and_the_dashboard_name_every_metric_and_no_other() {
    let expected: BTreeSet<_> = NAMES.iter().map(|(name, _)| *name).collect();
    let page = include_str!("../../docs/observing.md");
    assert_eq!(names(page), expected, "docs/observing.md");
    for (name, labels) in NAMES {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("no row of {name}"));
        let column: Vec<_> = row
            .split('|')
            .nth(2)
            .into_iter()
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        assert_eq!(column, *labels, "{name}");
    }
    let dashboard = include_str!("../../docs/grafana.json");
    assert_eq!(names(dashboard), expected, "docs/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("the dashboard is JSON");
    let labels: BTreeSet<_> = NAMES.iter().flat_map(|(_, labels)| *labels).copied().collect();
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() >= 6, "{} panels", panels.len());
    for target in panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
    {
        let query = target["expr"].as_str().expect("a query");
        for group in query.split("by (").skip(1) {
            let (group, _) = group.split_once(')').expect("the end of a group");
            let unknown = group
                .split(", ")
                .find(|label| !labels.contains(label) && *label != "le");
            assert_eq!(unknown, None, "{query}");
        }
    }
}

#[dspinlock(name = "metrics_skip", key = id, fail_if_key_exists, on_busy = skip)]
fn once(id: u64) -> Result<Option<()>, Error> {
    let _ = id;
    Ok(Some(()))
}

#[test]
fn a_call_that_is_skipped_has_not_failed() {
    recorder();
    let backend = Backend::redis();
    let pool = backend.pool("metrics");
    let id = fastrand::u64(..);
    let run = || pool.scope_blocking(|| once(id)).expect("no error");
    assert_eq!([run(), run(), run()], [Some(()), None, None]);
    let calls = |served| sample("dspinlock_calls_total", &["\"metrics_skip\"", served]);
    assert_eq!((calls("computed"), calls("skipped")), (1.0, 2.0));
    assert_eq!(calls("failed"), 0.0);
}
