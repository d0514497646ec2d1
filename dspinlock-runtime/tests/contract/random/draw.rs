//! Strategies for random sequences. Common cases are drawn more often than unusual ones.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::op::{Content, Event, Fence, Op, STEP, Stale};
use crate::rig::Entry;

pub(crate) fn events(foreign: bool) -> impl Strategy<Value = Vec<Event>> {
    let key = || prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)];
    let single = (key(), op(foreign)).prop_map(|(key, op)| vec![Event { key, op }]);
    // Independent steps publish too rarely, so some sequences contain an ACQUIRE followed by its PUBLISH.
    let computed = (key(), tag(), time(), time(), payload(), bound());
    let computed = computed.prop_map(|(key, tag, lease, ttl, payload, bound)| {
        let fence = Fence::Own;
        let acquire = Op::Acquire {
            tag,
            lease,
            cached: true,
            fail_if_key_exists: false,
            want_value: true,
            refuse: None,
            stale: Stale::No,
            bound,
        };
        let publish = Op::Publish {
            tag,
            fence,
            ttl,
            payload,
        };
        [acquire, publish].map(|op| Event { key, op }).into()
    });
    vec(prop_oneof![8 => single, 1 => computed], 1..30).prop_map(|events: Vec<Vec<Event>>| events.concat())
}

fn tag() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 2 => Just(1), 1 => Just(2)]
}

fn op(foreign: bool) -> impl Strategy<Value = Op> {
    let acquire = (
        tag(),
        time(),
        any::<bool>(),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.8),
        option::weighted(0.2, tag()),
        stale(),
        bound(),
    );
    let acquire = acquire.prop_map(
        |(tag, lease, cached, fail_if_key_exists, want_value, refuse, stale, bound)| Op::Acquire {
            tag,
            lease,
            cached,
            fail_if_key_exists,
            want_value,
            refuse,
            stale,
            bound,
        },
    );
    let renew = (tag(), fence(), time()).prop_map(|(tag, fence, lease)| Op::Renew { tag, fence, lease });
    let publish = (tag(), fence(), time(), payload()).prop_map(|(tag, fence, ttl, payload)| Op::Publish {
        tag,
        fence,
        ttl,
        payload,
    });
    let put = prop_oneof![
        state().prop_map(|content| Op::Put {
            entry: Entry::State,
            content
        }),
        value().prop_map(|content| Op::Put {
            entry: Entry::Value,
            content
        }),
    ];
    prop_oneof![
        10 => acquire,
        4 => renew,
        8 => publish,
        3 => tag().prop_map(|tag| Op::Abort { tag }),
        1 => Just(Op::Delete),
        5 => (any::<bool>(), bound()).prop_map(|(shared, bound)| Op::Read { shared, bound }),
        4 => (1..6_u64).prop_map(Op::Advance),
        if foreign { 5 } else { 0 } => put,
    ]
}

/// A lease or a ttl: a multiple of the clock step, plus half a step.
fn time() -> impl Strategy<Value = u64> {
    (0..8_u64).prop_map(|steps| steps * STEP + STEP / 2)
}

fn bound() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(8_usize << 20), 1 => 0..200_usize]
}

fn payload() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::weighted(0.8, vec(any::<u8>(), 0..40))
}

fn stale() -> impl Strategy<Value = Stale> {
    prop_oneof![5 => Just(Stale::No), 2 => Just(Stale::Seen), 1 => Just(Stale::Other)]
}

fn fence() -> impl Strategy<Value = Fence> {
    prop_oneof![
        8 => Just(Fence::Own),
        2 => (0..5_usize).prop_map(Fence::Back),
        1 => fence_number().prop_map(Fence::Other),
    ]
}

/// Fences that no grant has: some from the distant past, some close to the maximum.
fn fence_number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..5_u64,
        (1_u64 << 52)..(1 << 52) + 5,
        (1_u64 << 53) - 3..(1 << 53) + 2
    ]
}

fn left() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.7, time())
}

fn state() -> impl Strategy<Value = Content> {
    let number = prop_oneof![4 => Just("0"), 4 => Just("1"), 1 => Just("2"), 1 => Just("-1"), 1 => Just("x")];
    prop_oneof![
        2 => Just(Content::Nothing),
        1 => Just(Content::WrongType),
        6 => (option::of(tag()), number, left())
            .prop_map(|(tag, number, left)| Content::State(tag, number, left)),
        1 => garbage(),
    ]
}

fn value() -> impl Strategy<Value = Content> {
    let facts = (tag(), fence_number(), option::of((tag(), fence_number())), left());
    prop_oneof![
        2 => Just(Content::Nothing),
        1 => Just(Content::WrongType),
        4 => facts.prop_map(|(tag, fence, value, left)| Content::Value { tag, fence, value, left }),
        1 => garbage(),
    ]
}

fn garbage() -> impl Strategy<Value = Content> {
    let text = prop_oneof![
        vec(any::<u8>(), 0..30),
        "[a,01Z:.+\\-\n\u{0}]{0,60}".prop_map(String::into_bytes),
        "dspinlock1,[ab-],[0-9]{1,17},[ab-],[0-9]{0,2},1,2,3,[0-3],[0-9a-f]{7,9},1,h,s\n[xy]{0,3}"
            .prop_map(String::into_bytes),
        "[ab ]{0,2},20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:00(\\.[0-9]{0,10})?(Z|[+-][0-2][0-9]:[0-6]0)?,-?[01]{1,2}"
            .prop_map(String::into_bytes),
    ];
    (text, left()).prop_map(|(text, left)| Content::Garbage(text, left))
}
