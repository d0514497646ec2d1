//! Each scenario under many schedules: some thousand at random, and some thousand that change threads seldom but at the
//! worst of places. `DSPINLOCK_LONG=1` tries ten times as many.

use dspinlock_races::scenarios::{flight, lease, near, watch};

fn check(scenario: fn()) {
    let schedules = if std::env::var_os("DSPINLOCK_LONG").is_some() {
        20_000
    } else {
        2_000
    };
    shuttle::check_random(scenario, schedules);
    shuttle::check_pct(scenario, schedules, 3);
}

#[test]
fn calls_share_what_is_no_older_than_they_are() {
    check(flight::calls_share_what_is_no_older_than_they_are);
}

#[test]
fn a_scattered_flight_strands_nobody() {
    check(flight::a_scattered_flight_strands_nobody);
}

#[test]
fn a_push_drops_what_it_overtakes() {
    check(near::a_push_drops_what_it_overtakes);
}

#[test]
fn a_break_drops_what_it_overtakes() {
    check(near::a_break_drops_what_it_overtakes);
}

#[test]
fn an_own_write_drops_what_it_overtakes() {
    check(near::an_own_write_drops_what_it_overtakes);
}

#[test]
fn a_push_after_joining_is_never_missed() {
    check(watch::a_push_after_joining_is_never_missed);
}

#[test]
fn a_lease_that_ends_while_it_beats_is_not_lost() {
    check(lease::a_lease_that_ends_while_it_beats_is_not_lost);
}

#[test]
fn a_lease_that_lapses_tells_everybody() {
    check(lease::a_lease_that_lapses_tells_everybody);
}

#[test]
fn a_lease_that_is_dropped_frees_the_key() {
    check(lease::a_lease_that_is_dropped_frees_the_key);
}
