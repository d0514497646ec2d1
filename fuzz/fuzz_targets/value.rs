//! Runs the parser of the header and the decoder of values on arbitrary bytes.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use protocol::header::{Facts, Flag, Hit, Origin};
use protocol::tag::Head;
use runtime::{codec, key, protocol};
use types::{Flat, Key, Level, Shape};

#[path = "value/types.rs"]
mod types;

#[allow(dead_code, unreachable_pub)]
#[path = "../../dspinlock-runtime/src"]
mod runtime {
    pub mod codec;
    pub mod key {
        pub mod json_number;
    }
    pub mod protocol {
        pub mod header;
        pub mod tag;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Some(hit) = Hit::parse(bytes.clone()) {
        assert_decodes(hit.payload());
    }
    if let Some(head) = Head::parse(&bytes) {
        let origin = Origin::parse(head.kind, &bytes[Head::LENGTH..]);
        assert!(origin.is_none_or(|origin| origin.host.len() + origin.site.len() <= 3 * bytes.len()));
    }
    // The fuzzer does not find checksums, so the bytes become the payload of a value.
    let facts = Facts {
        took: 1,
        ttl: 2,
        stale_window: 3,
        checksum: crc32fast::hash(&bytes),
        key_check: *b"0123456789_",
        flag: Flag::Value,
    };
    let header = facts.header(&Origin::new(1, "host", "site"));
    let head = "Vtag-of-16-bytes_0000000000000007";
    let hit = Hit::parse([head.as_bytes(), header.as_bytes(), &bytes].concat().into());
    let hit = hit.expect("a value");
    assert!(hit.is_intact() && hit.facts() == Some(facts) && hit.payload() == bytes);
    assert_decodes(&bytes);
});

fn assert_decodes(payload: &[u8]) {
    assert_round_trip::<Shape>(payload);
    assert_round_trip::<Vec<Shape>>(payload);
    assert_round_trip::<Flat>(payload);
    assert_round_trip::<Vec<(Key, Option<Option<()>>)>>(payload);
    assert_round_trip::<Vec<Vec<String>>>(payload);
    decode_bounded::<Level>(payload, 64);
    decode_bounded::<IgnoredAny>(payload, 0);
}

/// Asserts that a decoded value is encoded and decoded to the same value.
fn assert_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) {
    if let Some(value) = decode_bounded::<T>(payload, size_of::<T>()) {
        let encoded = codec::encode_decodable(&value).expect("a decoded value can be encoded");
        assert_eq!(codec::decode(&encoded), Ok(value));
    }
}

/// Decodes the bytes and asserts that the memory is bounded: `each` bytes of memory per byte of input, and 128 boxed `Some`
/// around a nil.
fn decode_bounded<T: DeserializeOwned>(payload: &[u8], each: usize) -> Option<T> {
    let mut value = None;
    let allocated = allocation_counter::measure(|| value = codec::decode::<T>(payload).ok());
    let limit = 4 * each * payload.len() + 8192;
    assert!(
        allocated.bytes_max <= limit as u64,
        "{} bytes allocated, more than {limit}",
        allocated.bytes_max
    );
    value
}
