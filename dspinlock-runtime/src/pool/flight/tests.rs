use super::*;
use crate::rt::blocking;

fn key() -> Key {
    Key::new(crate::key::Format::Single, "dspinlock".into(), [1; 32])
}

fn lead(flights: &Flights) -> Leader {
    match flights.join(&key(), true, None) {
        Role::Leader(leader, _) => leader,
        _ => panic!("the flight has a leader already"),
    }
}

fn follow(flights: &Flights, accepts_value: bool) -> oneshot::Receiver<Handoff> {
    match flights.join(&key(), accepts_value, None) {
        Role::Follower(handoff) => handoff,
        _ => panic!("the flight has no leader"),
    }
}

const LONGEST: Duration = Duration::from_secs(60);

/// The second look of a follower.
fn probe(flights: &Flights) -> Result<Leader, Duration> {
    let mut seen = None;
    flights.probe(&key(), &mut seen, LONGEST);
    match flights.probe(&key(), &mut seen, LONGEST) {
        Probe::Lead(leader) => Ok(leader),
        Probe::Later(time) => Err(time),
    }
}

fn receive_lead(handoff: oneshot::Receiver<Handoff>) -> Leader {
    match blocking::wait(handoff) {
        Ok(Handoff::Lead(leader)) => leader,
        other => panic!("expected the leadership, got {other:?}"),
    }
}

fn found() -> Found {
    Found {
        payload: "value".into(),
        id: None,
        flag: Flag::Value,
        age: None,
    }
}

#[test]
fn a_value_serves_the_followers_that_joined_before_the_request() {
    let flights = Flights::default();
    let mut first = lead(&flights);
    let (early, exclusive) = (follow(&flights, true), follow(&flights, false));
    let asked = first.ask();
    let late = follow(&flights, true);
    first.complete(asked, &found());
    assert!(matches!(blocking::wait(early), Ok(Handoff::Value(_))));
    let second = receive_lead(exclusive);
    assert!(!second.knows_absent());
    drop(second);
    drop(receive_lead(late));
}

#[test]
fn one_follower_at_a_time_probes() {
    let flights = Flights::default();
    let leader = lead(&flights);
    let follower = follow(&flights, true);
    let mut probe = probe(&flights).expect("the first probe");
    assert!(self::probe(&flights).is_err());
    drop(probe);
    probe = self::probe(&flights).expect("a probe after the first has ended");
    let asked = probe.ask();
    probe.complete(asked, &found());
    assert!(matches!(blocking::wait(follower), Ok(Handoff::Value(_))));
    assert!(flights.shard(&key()).is_empty());
    drop(leader);
}

#[test]
fn a_leader_that_makes_progress_is_not_probed() {
    let flights = Flights::default();
    let mut leader = lead(&flights);
    let mut seen = None;
    let mut look = || flights.probe(&key(), &mut seen, LONGEST);
    for _ in 0..3 {
        assert!(matches!(look(), Probe::Later(FIRST_PROBE)));
        let _ = leader.ask();
    }
    assert!(matches!(look(), Probe::Later(FIRST_PROBE)));
    assert!(matches!(look(), Probe::Lead(_)));
}

#[test]
fn each_probe_of_a_flight_doubles_the_time_to_the_next() {
    let flights = Flights::default();
    let _leader = lead(&flights);
    let (mut seen, longest) = (None, 10 * FIRST_PROBE);
    for factor in [1, 2, 4, 8, 10, 10] {
        let looked = flights.probe(&key(), &mut seen, longest);
        assert!(matches!(looked, Probe::Later(time) if time == factor * FIRST_PROBE));
        drop(probe(&flights));
    }
}

#[test]
fn a_probe_with_the_value_replaces_the_leader() {
    let flights = Flights::default();
    let mut stuck = lead(&flights);
    let mut probe = probe(&flights).expect("a probe");
    assert!(!probe.knows_absent(), "the leader may be stuck behind its read");
    let asked = probe.ask();
    let late = follow(&flights, true);
    probe.complete(asked, &found());
    let next = receive_lead(late);
    let asked = stuck.ask();
    stuck.complete(asked, &found());
    assert_eq!(
        flights.count(),
        1,
        "the former leader ended a flight that is not its own"
    );
    drop(next);
    assert_eq!(flights.count(), 0);
}

#[test]
fn a_probe_with_the_lock_replaces_the_leader() {
    let flights = Flights::default();
    let stuck = lead(&flights);
    let mut probe = probe(&flights).expect("a probe");
    let follower = follow(&flights, true);
    probe.begin_computing();
    drop(stuck);
    let asked = probe.ask();
    probe.complete(asked, &found());
    assert!(matches!(blocking::wait(follower), Ok(Handoff::Value(_))));
    assert_eq!(flights.count(), 0);
}

#[test]
fn no_follower_probes_while_the_leader_watches() {
    let flights = Flights::default();
    let mut first = lead(&flights);
    let follower = follow(&flights, true);
    first.begin_watching();
    assert!(matches!(probe(&flights), Err(LONGEST)));
    first.begin_computing();
    let mut seen = None;
    assert!(matches!(
        flights.probe(&key(), &mut seen, LONGEST),
        Probe::Later(LONGEST)
    ));
    let computing = probe(&flights).expect("a leader that computes may lose the key");
    assert!(computing.knows_absent());
    drop(computing);
    first.begin_watching();
    drop(first);
    let second = receive_lead(follower);
    assert!(probe(&flights).is_ok(), "the next leader does not watch yet");
    second.flights.disband(&key());
}

#[test]
fn the_turn_passes_from_leader_to_leader_and_ends() {
    let flights = Flights::default();
    let mut leader = lead(&flights);
    leader.saw_holder(true);
    let mut hand_overs = 0;
    while !leader.take_yield() {
        let next = follow(&flights, false);
        assert!(leader.hand_on().is_none());
        leader = receive_lead(next);
        hand_overs += 1;
    }
    assert!(leader.backoff() > Duration::ZERO);
    assert!((2..20).contains(&hand_overs), "{hand_overs}");
}

#[test]
fn a_process_that_is_alone_keeps_the_last_leadership_of_a_turn() {
    let flights = Flights::default();
    let mut leader = lead(&flights);
    for _ in 0..20 {
        let next = follow(&flights, false);
        match leader.hand_on() {
            Some(last) => {
                drop(last);
                return drop(receive_lead(next));
            }
            None => leader = receive_lead(next),
        }
    }
    panic!("the turn does not end");
}

#[test]
fn a_leader_without_followers_keeps_the_leadership() {
    let flights = Flights::default();
    let leader = lead(&flights).hand_on();
    assert!(leader.is_some());
    let next = follow(&flights, false);
    drop(leader);
    drop(receive_lead(next));
    assert_eq!(flights.count(), 0);
}

#[test]
fn a_disbanded_flight_continues_without_its_leader() {
    let flights = Flights::default();
    let mut lost = lead(&flights);
    let follower = follow(&flights, true);
    let asked = lost.ask();
    flights.disband(&key());
    let successor = receive_lead(follower);
    let next = follow(&flights, true);
    lost.complete(asked, &found()); // reaches no follower
    drop(successor);
    drop(receive_lead(next));
    assert!(flights.shard(&key()).is_empty());
}

#[test]
fn the_leadership_skips_dropped_followers_and_ends_with_the_last() {
    let flights = Flights::default();
    let first = lead(&flights);
    let (dropped, drops_later, last) = (
        follow(&flights, true),
        follow(&flights, true),
        follow(&flights, true),
    );
    drop(dropped);
    drop(first);
    drop(drops_later); // with the leadership in its channel
    drop(receive_lead(last));
    assert!(flights.shard(&key()).is_empty());
}
