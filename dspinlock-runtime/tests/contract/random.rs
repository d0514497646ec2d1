//! Random sequences of steps, of turns of the clock and of foreign writes: every reply and every record of a store is
//! held against the pure function's.

mod draw;
mod op;
mod view;

use std::cell::RefCell;
use std::fmt::Write;

use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::{Reply, Request};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::op::{Grants, Op, Turn};
use self::view::View;
use crate::bench::{Bench, Pure, fresh_key};

pub(crate) fn run(bench: &mut dyn Bench, cases: u32) {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 15_000,
        ..Config::default()
    };
    let turns = draw::turns(bench.is_open());
    let bench = RefCell::new(bench);
    let result = TestRunner::new(config).run(&turns, |turns| {
        let bench = &mut **bench.borrow_mut();
        bench.clear();
        let mut model = Pure::at(bench.now());
        compare(&turns, &mut model, bench).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, turns)) => panic!("{reason}\nafter\n{}", lines(&turns)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

fn compare(turns: &[Turn], model: &mut dyn Bench, store: &mut dyn Bench) -> Result<(), String> {
    let keys = [fresh_key(), fresh_key()];
    let (mut of_model, mut of_store) = (Grants::default(), Grants::default());
    // After a foreign write to V anything may be found there, a fence from the far future too.
    let (mut promises, mut foreign) = (Promises::default(), false);
    for (at, turn) in turns.iter().enumerate() {
        let expected = play(turn, &keys, model, &mut of_model);
        let found = play(turn, &keys, store, &mut of_store);
        let key = &keys[turn.key];
        same(
            &View::of(&expected, &of_model, model),
            &View::of(&found, &of_store, store),
        )
        .and_then(|()| of_model.same_order(&of_store))
        .and_then(|()| {
            if !store.is_open() {
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
            foreign |= matches!(turn.op, Op::Put { .. });
            match &expected {
                Some((request, reply)) if !foreign => promises.hold(turn.key, request, reply),
                _ => Ok(()),
            }
        })
        .map_err(|reason| format!("step {at}, {turn:?}: {reason}"))?;
    }
    Ok(())
}

/// Does to one bench what a turn says; a step gives its request and its reply.
fn play(
    turn: &Turn,
    keys: &[Key; 2],
    bench: &mut dyn Bench,
    grants: &mut Grants,
) -> Option<(Request, Reply)> {
    let key = &keys[turn.key];
    match &turn.op {
        Op::Advance(steps) => bench.advance(steps * op::STEP),
        Op::Put { entry, content } => bench.put(key, *entry, &content.bytes()),
        op => {
            let request = op.request(turn.key, grants);
            let reply = bench.step(key, request.clone());
            grants.note(turn.key, &request, &reply);
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

fn lines(turns: &[Turn]) -> String {
    turns.iter().fold(String::new(), |mut text, turn| {
        // To write into a String never fails.
        let _ = writeln!(text, "    {turn:?}");
        text
    })
}

/// What the lock promises among those who keep to the protocol, whatever the order of their steps.
#[derive(Default)]
struct Promises {
    granted: [u64; 2],
    published: [u64; 2],
}

impl Promises {
    fn hold(&mut self, key: usize, request: &Request, reply: &Reply) -> Result<(), String> {
        match (request, reply) {
            (_, Reply::Acquired(fence)) if *fence < self.granted[key] => {
                return Err("a fence went back".into());
            }
            (Request::Publish(publish), Reply::Published) if publish.fence < self.granted[key] => {
                return Err("a result was published over a newer grant".into());
            }
            (Request::Renew(renew), Reply::Renewed) if renew.fence < self.granted[key] => {
                return Err("a lease was renewed that another has taken over".into());
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
