//! Keys of arguments: what differs has different digests, what is equal has equal ones.

use std::collections::{BTreeMap, HashMap};

use dspinlock_runtime::key::{Key, KeyHasher, KeyPart};
use proptest::prelude::*;
use serde::{Serialize, Serializer};

/// Arguments of every shape.
#[derive(Debug, Clone, PartialEq)]
enum Argument {
    Nothing,
    Flag(bool),
    Number(u64),
    Text(String),
    Bytes(Vec<u8>),
    Some(Box<Argument>),
    List(Vec<Argument>),
    Map(BTreeMap<String, Argument>),
}

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Some(some) => serializer.serialize_some(some),
            Self::List(list) => list.serialize(serializer),
            Self::Map(map) => map.serialize(serializer),
        }
    }
}

/// Few and short leaves, so that unequal arguments are often nearly equal.
fn argument() -> impl Strategy<Value = Argument> {
    let leaf = prop_oneof![
        Just(Argument::Nothing),
        any::<bool>().prop_map(Argument::Flag),
        (0..300_u64).prop_map(Argument::Number),
        "[ab,]{0,3}".prop_map(Argument::Text),
        prop::collection::vec(0..3_u8, 0..3).prop_map(Argument::Bytes),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|some| Argument::Some(Box::new(some))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Argument::List),
            prop::collection::btree_map("[ab]{0,2}", inner, 0..3).prop_map(Argument::Map),
        ]
    })
}

fn key(arguments: &[Argument], site: &str) -> Key {
    let mut hasher = KeyHasher::new(false);
    arguments.iter().for_each(|argument| argument.feed(&mut hasher));
    hasher
        .finish("dspinlock".into(), site)
        .expect("these can be serialized")
}

fn arguments() -> impl Strategy<Value = Vec<Argument>> {
    prop::collection::vec(argument(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn keys_are_equal_where_arguments_are_and_nowhere_else(
        one in arguments(),
        other in arguments(),
        sites in ("[ab]{1,2}", "[ab]{1,2}"),
    ) {
        prop_assert_eq!(key(&one, &sites.0), key(&one.clone(), &sites.0));
        let same = one == other && sites.0 == sites.1;
        prop_assert_eq!(key(&one, &sites.0) == key(&other, &sites.1), same);
    }

    /// What was cut elsewhere: the same leaves in other groups.
    #[test]
    fn a_list_cut_elsewhere_is_another_key(list in prop::collection::vec(argument(), 1..6), cut in any::<prop::sample::Index>()) {
        let at = cut.index(list.len());
        let (left, right) = list.split_at(at);
        let grouped = [Argument::List(left.to_vec()), Argument::List(right.to_vec())];
        prop_assert_ne!(key(&grouped, "site"), key(&list, "site"));
        prop_assert_ne!(key(&grouped, "site"), key(&[Argument::List(list.clone())], "site"));
    }

    #[test]
    fn the_order_of_a_map_does_not_matter(map in prop::collection::hash_map("[a-z]{0,3}", 0..9_u64, 0..8)) {
        let sorted: BTreeMap<String, u64> = map.clone().into_iter().collect();
        let of = |part: &dyn Fn(&mut KeyHasher)| {
            let mut hasher = KeyHasher::new(false);
            part(&mut hasher);
            hasher.finish("dspinlock".into(), "site").expect("a map of numbers")
        };
        let again: HashMap<String, u64> = map.clone().into_iter().collect();
        prop_assert_eq!(of(&|hasher| map.feed(hasher)), of(&|hasher| sorted.feed(hasher)));
        prop_assert_eq!(of(&|hasher| again.feed(hasher)), of(&|hasher| sorted.feed(hasher)));
    }
}
