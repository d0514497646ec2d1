//! The scenarios. Each is a function whose name is the claim.

mod acquire;
mod describe;
mod hold;
mod lock;
mod malformed;
mod python;
mod read;
mod takeover;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};

use dspinlock_runtime::internals::key::Format;

use self::lock::Lock;
use crate::rig::Rig;

/// Name of a scenario, whether it reads or writes entries without the protocol, and the scenario.
type Scenario = (&'static str, bool, fn(&mut Lock<'_>));

/// Lists the scenarios of a module: those that only run steps, and those that need raw access to the entries.
macro_rules! list {
    (steps only { $($steps:ident,)* } raw access { $($raw:ident,)* }) => {
        pub(super) const ALL: &[super::Scenario] =
            &[$((stringify!($steps), false, $steps),)* $((stringify!($raw), true, $raw),)*];
    };
}
use list;

const BOTH: &[&[Scenario]] = &[
    acquire::ALL,
    takeover::ALL,
    hold::ALL,
    malformed::ALL,
    describe::ALL,
];

/// Runs each scenario on a fresh key, on one of each encoding if it applies to both. Panics with the names of all scenarios
/// that failed.
pub(crate) fn run(rig: &mut dyn Rig) {
    let mut failed = Vec::new();
    for (format, own) in [
        (Format::Single, [value::ALL, read::ALL]),
        (Format::Shared, [python::ALL, &[]]),
    ] {
        for (name, needs_raw_access, scenario) in BOTH.iter().chain(&own).copied().flatten() {
            if *needs_raw_access && !rig.has_raw_access() {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| scenario(&mut Lock::new(rig, format)))).is_err() {
                failed.push((format, *name));
            }
        }
    }
    assert!(failed.is_empty(), "failed scenarios: {failed:#?}");
}

/// Runs the scenario of a store whose clock is after the year 2255.
pub(crate) fn run_after_2255(rig: &mut dyn Rig) {
    for format in [Format::Single, Format::Shared] {
        acquire::every_grant_has_the_greatest_fence(&mut Lock::new(rig, format));
    }
}
