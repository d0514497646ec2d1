//! Strategies for random sequences. Common cases are drawn more often than unusual ones.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Strategy;

use dspinlock_runtime::internals::key::Format;

use super::op::{Content, Event, Fence, Op, STEP, Stale};

pub(crate) fn events(format: Format, foreign: bool) -> impl Strategy<Value = Vec<Event>> {
    let key = || prop_oneof![4 => Just(0_usize), 1 => Just(1_usize)];
    let single = (key(), op(format, foreign)).prop_map(|(key, op)| vec![Event { key, op }]);
    // Independent steps publish too rarely, so some sequences contain an ACQUIRE followed by its PUBLISH.
    let computed = (key(), tag(), time(), time(), payload(), bound());
    let computed = computed.prop_map(|(key, tag, lease, ttl, payload, bound)| {
        let fence = Fence::Own;
        let acquire = Op::Acquire {
            tag,
            lease,
            cached: true,
            fail_if_key_exists: false,
            seize: false,
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

fn op(format: Format, foreign: bool) -> impl Strategy<Value = Op> {
    let acquire = (
        tag(),
        time(),
        any::<bool>(),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.1),
        option::weighted(0.2, tag()),
        stale(),
        bound(),
    );
    let acquire = acquire.prop_map(
        |(tag, lease, cached, fail_if_key_exists, seize, refuse, stale, bound)| Op::Acquire {
            tag,
            lease,
            cached,
            fail_if_key_exists,
            seize,
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
    let put = match format {
        Format::Shared => state().boxed(),
        Format::Single => value().boxed(),
    };
    let release = (tag(), fence(), any::<bool>());
    let release = release.prop_map(|(tag, fence, was_sent)| Op::Release { tag, fence, was_sent });
    prop_oneof![
        10 => acquire,
        4 => renew,
        8 => publish,
        3 => release,
        3 => tag().prop_map(|tag| Op::Abort { tag }),
        1 => Just(Op::Delete),
        5 => bound().prop_map(|bound| Op::Read { bound: bound.max(33) }),
        3 => bound().prop_map(|bound| Op::Describe { bound }),
        4 => (1..6_u64).prop_map(Op::Advance),
        if foreign { 5 } else { 0 } => put.prop_map(Op::Put),
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
        (1_u64 << 53) - 3..(1 << 53)
    ]
}

fn left() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.7, time())
}

fn state() -> impl Strategy<Value = Content> {
    let number = prop_oneof![4 => Just("0"), 4 => Just("1"), 1 => Just("2"), 1 => Just("-1"), 1 => Just("x")];
    let own = option::of((tag(), stored_fence()));
    prop_oneof![
        2 => Just(Content::Nothing),
        1 => Just(Content::WrongType),
        6 => (own, number, left()).prop_map(|(own, number, left)| Content::State(own, number, left)),
        1 => garbage(),
    ]
}

fn value() -> impl Strategy<Value = Content> {
    let facts = (
        prop_oneof![Just('B'), Just('V'), Just('M'), Just('X')],
        tag(),
        stored_fence(),
        left(),
    );
    prop_oneof![
        2 => Just(Content::Nothing),
        1 => Just(Content::WrongType),
        6 => facts.prop_map(|(kind, tag, fence, left)| Content::Entry { kind, tag, fence, left }),
        1 => garbage(),
    ]
}

/// Some are above the maximum.
fn stored_fence() -> impl Strategy<Value = u64> {
    prop_oneof![fence_number(), (1_u64 << 53)..(1 << 53) + 2]
}

fn garbage() -> impl Strategy<Value = Content> {
    let text = prop_oneof![
        vec(any::<u8>(), 0..30),
        "[a,01Z:.+\\-\n\u{0}]{0,60}".prop_map(String::into_bytes),
        "[BVMX][a-c_.]{15,17}0[0-9]{14,16}[0-9a-z,\n]{0,30}".prop_map(String::into_bytes),
        "[a-c_.]{15,17}\\.0[0-9]{14,16}\\.[1@h]{0,3},2001-02-03T04:05:06Z,[01]".prop_map(String::into_bytes),
        "[ab ]{0,2},20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:00(\\.[0-9]{0,10})?(Z|[+-][0-2][0-9]:[0-6]0)?,-?[01]{1,2}"
            .prop_map(String::into_bytes),
    ];
    (text, left()).prop_map(|(text, left)| Content::Garbage(text, left))
}
