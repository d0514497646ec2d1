//! Every line of the protocol, by name.

mod acquire;
mod bad;
mod hold;
mod lock;
mod python;
mod read;
mod takeover;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::lock::Lock;
use crate::bench::Bench;

/// A scenario, its name, and whether it looks into the store or writes past the protocol.
type Scenario = (&'static str, bool, fn(&mut Lock<'_>));

/// Lists functions of a module with their names.
macro_rules! list {
    (steps alone { $($steps:ident,)* } past the protocol { $($past:ident,)* }) => {
        pub(super) const ALL: &[super::Scenario] =
            &[$((stringify!($steps), false, $steps),)* $((stringify!($past), true, $past),)*];
    };
}
use list;

/// Runs all scenarios, each on a key of its own, and tells all that fail.
pub(crate) fn run(bench: &mut dyn Bench) {
    let mut failed = Vec::new();
    let all = [
        acquire::ALL,
        takeover::ALL,
        bad::ALL,
        hold::ALL,
        read::ALL,
        python::ALL,
    ];
    for (name, past, scenario) in all.into_iter().flatten() {
        if *past && !bench.is_open() {
            continue;
        }
        if catch_unwind(AssertUnwindSafe(|| scenario(&mut Lock::new(bench)))).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
