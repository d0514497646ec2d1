//! Runs each scenario under 2,000 random schedules and 2,000 schedules of the PCT scheduler, which switches threads rarely.
//! `DSPINLOCK_LONG=1` runs ten times as many.

use dspinlock_races::scenarios::{flight, lease, near, turns, watch};

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
fn no_follower_receives_a_value_older_than_its_call() {
    check(flight::no_follower_receives_a_value_older_than_its_call);
}

#[test]
fn a_probe_replaces_the_leader_of_a_flight() {
    check(flight::a_probe_replaces_the_leader_of_a_flight);
}

#[test]
fn every_follower_of_a_disbanded_flight_finishes() {
    check(flight::every_follower_of_a_disbanded_flight_finishes);
}

#[test]
fn a_read_overtaken_by_a_push_is_not_cached() {
    check(near::a_read_overtaken_by_a_push_is_not_cached);
}

#[test]
fn a_read_overtaken_by_a_disconnect_is_not_cached() {
    check(near::a_read_overtaken_by_a_disconnect_is_not_cached);
}

#[test]
fn a_read_overtaken_by_a_local_write_is_not_cached() {
    check(near::a_read_overtaken_by_a_local_write_is_not_cached);
}

#[test]
fn the_number_of_entries_stays_within_the_size() {
    check(near::the_number_of_entries_stays_within_the_size);
}

#[test]
fn a_push_to_a_watched_key_is_never_missed() {
    check(watch::a_push_to_a_watched_key_is_never_missed);
}

#[test]
fn a_closed_pool_holds_no_key() {
    check(lease::a_closed_pool_holds_no_key);
}

#[test]
fn an_extended_lease_ends_before_its_entry() {
    check(lease::an_extended_lease_ends_before_its_entry);
}

#[test]
fn a_lease_published_during_a_heartbeat_is_not_lost() {
    check(lease::a_lease_published_during_a_heartbeat_is_not_lost);
}

#[test]
fn a_lock_that_is_handed_on_has_one_holder() {
    check(lease::a_lock_that_is_handed_on_has_one_holder);
}

#[test]
fn an_expired_lease_wakes_every_waiter() {
    check(lease::an_expired_lease_wakes_every_waiter);
}

#[test]
fn a_dropped_lease_frees_the_key() {
    check(lease::a_dropped_lease_frees_the_key);
}

#[test]
fn no_turn_loses_a_request_or_a_reply() {
    check(turns::no_turn_loses_a_request_or_a_reply);
}
