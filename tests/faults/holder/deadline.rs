//! A lease whose PUBLISH or RELEASE is under way at its deadline. Only the reply decides whether the lease is lost.

use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Action, Job, Stage, eventually};

use crate::common::proxied::Proxied;

const LEASE: Duration = Duration::from_millis(1500);

/// The replies of the server are held until `is_over`. Then the call has its value, no loss was logged, and no follower has
/// sent an ACQUIRE.
fn finish_while_held(function: &str, hold: impl Fn(&Proxied), is_over: impl Fn(&Proxied) -> bool) {
    let fixture = Proxied::new().connected();
    let Proxied { proxy, worker, .. } = &fixture;
    let job = Job::new(function, "key").with("lease", LEASE.as_millis());
    let held = worker.call(&job.clone().with("body", "gate").with("value", "value"));
    held.started();
    // The next caller of an uncached function does not wait for the reply to the RELEASE.
    let follower = (function == "cached").then(|| worker.call(&job));
    let acquires = proxy.requests("ACQUIRE");
    hold(&fixture);
    held.open_gate();
    eventually("the end of the lease", || is_over(&fixture).then_some(()));
    assert_eq!(proxy.requests("ACQUIRE"), acquires, "the flight was disbanded");
    proxy.resume();
    assert_eq!(held.result().as_deref(), Ok("value"));
    if let Some(follower) = follower {
        assert_eq!(follower.outcome(), (0, Ok("value".to_owned())));
    }
    let logs = worker.logs();
    assert!(!logs.iter().any(|line| line.contains("lease")), "{logs:?}");
}

#[test]
fn a_publish_under_way_at_the_deadline_is_not_a_loss() {
    for function in ["cached", "uncached"] {
        let sleep_past = |_: &Proxied| {
            sleep(LEASE + Duration::from_millis(300));
            true
        };
        finish_while_held(function, |fixture| fixture.proxy.stall_replies(), sleep_past);
    }
}

/// The store has executed the PUBLISH, so it refuses the next RENEW.
#[test]
fn a_renewal_that_is_refused_during_a_publish_is_not_a_loss() {
    for (function, step) in [("cached", "PUBLISH"), ("uncached", "RELEASE")] {
        finish_while_held(
            function,
            |fixture| fixture.proxy.intercept(step, Stage::Reply, Action::Hold),
            |fixture| {
                // The refusal ends the renewals. Otherwise there is one every third of the lease.
                let renewed = fixture.proxy.requests("RENEW");
                sleep(LEASE / 2);
                fixture.proxy.requests("RENEW") == renewed
            },
        );
    }
}
