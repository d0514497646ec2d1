//! A key that is deleted while somebody computes, publishes, or reads.

use std::time::Instant;

use dspinlock_testkit::Redis;

use crate::staleness::{Play, Report, start};

#[test]
fn ten_thousand_deletes_at_random_times_and_no_stale_hit() {
    let server = Redis::start();
    let play = Play {
        keys: 3,
        actors: 1,
        rounds: 3334,
    };
    let begun = Instant::now();
    let processes: Vec<_> = (0..play.keys)
        .map(|key| start(&server.url(), play, key))
        .collect();
    let report = Report::of(&processes);
    println!(
        "{} deletes in {:?}: {report:?}",
        play.keys * play.rounds,
        begun.elapsed()
    );
    assert_eq!(report.stale, 0, "{report:?}");
    // It was as random as it is meant to be.
    assert!(
        report.lost > 100 && report.near > 100 && report.bodies > play.rounds,
        "{report:?}"
    );
}
