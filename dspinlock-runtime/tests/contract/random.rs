//! Random sequences of steps, clock changes and foreign writes. Every reply and every entry of a store is compared with
//! those of the pure function.

mod draw;
mod op;
mod view;

use std::cell::RefCell;
use std::fmt::Write;

use dspinlock_runtime::internals::key::{Format, Key};
use dspinlock_runtime::internals::protocol::{Reply, Request};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::op::{Event, Grants, Op};
use self::view::View;
use crate::rig::{Pure, Rig, fresh_key};

pub(crate) fn run(rig: &mut dyn Rig, cases: u32) {
    for format in [Format::Single, Format::Shared] {
        run_on(rig, format, cases);
    }
}

fn run_on(rig: &mut dyn Rig, format: Format, cases: u32) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 15_000,
        ..Config::default()
    };
    let events = draw::events(format, rig.has_raw_access());
    let rig = RefCell::new(rig);
    let result = TestRunner::new(config).run(&events, |events| {
        let rig = &mut **rig.borrow_mut();
        rig.clear();
        let mut model = Pure::at(rig.now());
        compare(&events, format, &mut model, rig).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, events)) => {
            panic!("{reason}\nafter these events:\n{}", format_events(&events))
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

fn compare(events: &[Event], format: Format, model: &mut dyn Rig, store: &mut dyn Rig) -> Result<(), String> {
    let keys = [fresh_key(format), fresh_key(format)];
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
            let (expected, found) = (model.entry(key), store.entry(key));
            if store.is_exact() && expected != found {
                return Err(format!("expected {expected:?}\n   found {found:?}"));
            }
            let expected = View::of_entry(&expected, &of_model, model);
            same(&expected, &View::of_entry(&found, &of_store, store))
        })
        .and_then(|()| {
            foreign |= matches!(event.op, Op::Put(_));
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
        Op::Put(content) => rig.put(key, &content.bytes()),
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
            (_, Reply::Acquired(id)) if id.fence < self.granted[key] => {
                return Err("a fence decreased".into());
            }
            (Request::Publish(publish), Reply::Published) if publish.id.fence < self.granted[key] => {
                return Err("a result was published over a newer grant".into());
            }
            (Request::Renew(renew), Reply::Renewed) if renew.id.fence < self.granted[key] => {
                return Err("a lease was renewed after a newer grant".into());
            }
            (Request::Read(_) | Request::Acquire(_), Reply::Hit(hit, _))
                if hit.id.fence < self.published[key] =>
            {
                return Err("an older value was read after a newer one".into());
            }
            (_, Reply::Acquired(id)) => self.granted[key] = id.fence,
            (Request::Publish(publish), Reply::Published) => self.published[key] = publish.id.fence,
            _ => {}
        }
        Ok(())
    }
}
