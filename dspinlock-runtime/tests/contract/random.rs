//! Random sequences of steps, clock changes and foreign writes. Every reply and every record of a store is compared with
//! those of the pure function.

mod draw;
mod op;
mod view;

use std::cell::RefCell;
use std::fmt::Write;

use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::{Reply, Request};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::op::{Event, Grants, Op};
use self::view::View;
use crate::rig::{Pure, Rig, fresh_key};

pub(crate) fn run(rig: &mut dyn Rig, cases: u32) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 15_000,
        ..Config::default()
    };
    let events = draw::events(rig.has_raw_access());
    let rig = RefCell::new(rig);
    let result = TestRunner::new(config).run(&events, |events| {
        let rig = &mut **rig.borrow_mut();
        rig.clear();
        let mut model = Pure::at(rig.now());
        compare(&events, &mut model, rig).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, events)) => {
            panic!("{reason}\nafter these events:\n{}", format_events(&events))
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

fn compare(events: &[Event], model: &mut dyn Rig, store: &mut dyn Rig) -> Result<(), String> {
    let keys = [fresh_key(), fresh_key()];
    let (mut of_model, mut of_store) = (Grants::default(), Grants::default());
    // After a foreign write the value may have any fence, so the guarantees are checked only before it.
    let (mut guarantees, mut foreign) = (Guarantees::default(), false);
    for (at, event) in events.iter().enumerate() {
        let expected = apply(event, &keys, model, &mut of_model);
        let found = apply(event, &keys, store, &mut of_store);
        let key = &keys[event.key];
        same(
            &View::of(&expected, &of_model, model),
            &View::of(&found, &of_store, store),
        )
        .and_then(|()| of_model.same_order(&of_store))
        .and_then(|()| {
            if !store.has_raw_access() {
                return Ok(());
            }
            let (expected, found) = (model.record(key), store.record(key));
            if store.is_exact() && expected != found {
                return Err(format!("expected {expected:?}\n   found {found:?}"));
            }
            let expected = View::of_record(&expected, &of_model, model);
            same(&expected, &View::of_record(&found, &of_store, store))
        })
        .and_then(|()| {
            foreign |= matches!(event.op, Op::Put { .. });
            match &expected {
                Some((request, reply)) if !foreign => guarantees.check(event.key, request, reply),
                _ => Ok(()),
            }
        })
        .map_err(|reason| format!("event {at}, {event:?}: {reason}"))?;
    }
    Ok(())
}

/// Runs one event on a rig. Returns the request and the reply if the event is a step.
fn apply(event: &Event, keys: &[Key; 2], rig: &mut dyn Rig, grants: &mut Grants) -> Option<(Request, Reply)> {
    let key = &keys[event.key];
    match &event.op {
        Op::Advance(steps) => rig.advance(steps * op::STEP),
        Op::Put { entry, content } => rig.put(key, *entry, &content.bytes()),
        op => {
            let request = op.request(event.key, grants);
            let reply = rig.step(key, request.clone());
            grants.note(event.key, &request, &reply);
            return Some((request, reply));
        }
    }
    None
}

fn same(expected: &View, found: &View) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("expected {expected}\n   found {found}")),
    }
}

fn format_events(events: &[Event]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        writeln!(text, "    {event:?}").expect("writing to a String does not fail");
        text
    })
}

/// What holds for any order of steps if every writer uses the protocol.
#[derive(Default)]
struct Guarantees {
    granted: [u64; 2],
    published: [u64; 2],
}

impl Guarantees {
    fn check(&mut self, key: usize, request: &Request, reply: &Reply) -> Result<(), String> {
        match (request, reply) {
            (_, Reply::Acquired(fence)) if *fence < self.granted[key] => {
                return Err("a fence decreased".into());
            }
            (Request::Publish(publish), Reply::Published) if publish.fence < self.granted[key] => {
                return Err("a result was published over a newer grant".into());
            }
            (Request::Renew(renew), Reply::Renewed) if renew.fence < self.granted[key] => {
                return Err("a lease was renewed after a newer grant".into());
            }
            (Request::Read(_) | Request::Acquire(_), Reply::Hit(hit, _))
                if hit.fence < self.published[key] =>
            {
                return Err("an older value was read after a newer one".into());
            }
            (_, Reply::Acquired(fence)) => self.granted[key] = *fence,
            (Request::Publish(publish), Reply::Published) => self.published[key] = publish.fence,
            _ => {}
        }
        Ok(())
    }
}
