//! Counters and histograms of the feature `metrics`. Without the feature, its functions do nothing.
//!
//! `docs/observing.md` lists the names and labels. A label is the name of a site, of an operation or of a way to serve a call: their
//! number is bounded, unless a program builds names of blocks from data. No label is an argument or a value.

use std::time::Duration;

/// Whether the feature is on. Code that prepares labels checks it.
pub(crate) const ENABLED: bool = cfg!(feature = "metrics");

/// Every metric with its labels.
pub const NAMES: &[(&str, &[&str])] = &[
    (CALLS, &["site", "served"]),
    (TAKEOVERS, &["site"]),
    (LOST_LEASES, &["site"]),
    (STORE_ERRORS, &["operation"]),
    (HIT, &["site"]),
    (WAIT, &["site"]),
    (COMPUTE, &["site"]),
];

const CALLS: &str = "dspinlock_calls_total";
const TAKEOVERS: &str = "dspinlock_takeovers_total";
const LOST_LEASES: &str = "dspinlock_lost_leases_total";
const STORE_ERRORS: &str = "dspinlock_store_errors_total";
const HIT: &str = "dspinlock_hit_seconds";
const WAIT: &str = "dspinlock_wait_seconds";
const COMPUTE: &str = "dspinlock_compute_seconds";

/// A call has ended. `served`: how, or `failed`.
pub(crate) fn call(site: &str, served: &'static str) {
    count(CALLS, Some(site), Some(("served", served)));
}

/// The lock was taken although its last holder has not released it.
pub(crate) fn takeover(site: &str) {
    count(TAKEOVERS, Some(site), None);
}

/// A lease was lost while its holder still worked.
pub(crate) fn lost_lease(site: &str) {
    count(LOST_LEASES, Some(site), None);
}

/// The store has not executed a request, or has not replied.
pub(crate) fn store_error(operation: &'static str) {
    count(STORE_ERRORS, None, Some(("operation", operation)));
}

/// The time of a call whose value was stored.
pub(crate) fn hit(site: &str, time: Duration) {
    record(HIT, site, time);
}

/// The time until a call has received the result of another call, or the lock.
pub(crate) fn wait(site: &str, time: Duration) {
    record(WAIT, site, time);
}

/// The time of a body.
pub(crate) fn compute(site: &str, time: Duration) {
    record(COMPUTE, site, time);
}

#[cfg(feature = "metrics")]
fn count(name: &'static str, site: Option<&str>, other: Option<(&'static str, &'static str)>) {
    let site = site.map(|site| metrics::Label::new("site", site.to_owned()));
    let other = other.map(|(label, value)| metrics::Label::new(label, value));
    let labels: Vec<_> = site.into_iter().chain(other).collect();
    metrics::counter!(name, labels).increment(1);
}

#[cfg(feature = "metrics")]
fn record(name: &'static str, site: &str, time: Duration) {
    metrics::histogram!(name, "site" => site.to_owned()).record(time);
}

#[cfg(not(feature = "metrics"))]
fn count(_: &'static str, _: Option<&str>, _: Option<(&'static str, &'static str)>) {}

#[cfg(not(feature = "metrics"))]
fn record(_: &'static str, _: &str, _: Duration) {}
