//! Runs the parser of the header and the decoder of values on arbitrary bytes.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use protocol::value::{Header, Hit, Holder, MAX_HEADER, Stored, Value};
use runtime::{codec, protocol};
use types::{Flat, Key, Level, Shape};

#[path = "value/types.rs"]
mod types;

#[allow(dead_code, unreachable_pub)]
#[path = "../../dspinlock-runtime/src"]
mod runtime {
    pub mod codec;
    pub mod protocol {
        pub mod state;
        pub mod timestamp;
        pub mod value;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    match Value::parse(&bytes) {
        Some(value) => {
            assert_prints(&value);
            assert_decodes(&value.payload);
        }
        // The fuzzer does not find checksums, so bytes that are no value become the payload of one.
        None => {
            let value = value_with(bytes);
            assert_prints(&value);
            assert!(Hit::parse(&value.print()).is_some_and(|hit| hit.is_intact()));
            assert_decodes(&value.payload);
        }
    }
});

/// Asserts that a printed value is parsed to the same value. The printed header may be too long if the parsed one was
/// abbreviated by another writer.
fn assert_prints(value: &Value) {
    if value.header.to_string().len() <= MAX_HEADER {
        assert_eq!(Value::parse(&value.print()).as_ref(), Some(value));
        let cut = Hit::parse(&value.print()).map(|hit| (hit.payload, hit.fence));
        let stored = value.header.value.as_ref();
        assert_eq!(cut, stored.map(|stored| (value.payload.clone(), stored.fence)));
    }
}

fn value_with(payload: Bytes) -> Value {
    let stored = Stored {
        tag: "tag".into(),
        fence: 1,
        created_at: 2,
        fresh_until: 3,
        elapsed: 4,
        length: payload.len(),
        checksum: crc32fast::hash(&payload),
    };
    Value {
        header: Header {
            tag: "tag".into(),
            fence: 1,
            value: Some(stored),
            holder: Holder::new(1, "host", "site"),
        },
        payload,
    }
}

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
        let encoded = codec::encode(&value).expect("a decoded value can be encoded");
        assert_eq!(codec::decode(&encoded), Some(value));
    }
}

/// Decodes the bytes and asserts that the memory is bounded: `each` bytes of memory per byte of input, and 128 boxed `Some`
/// around a nil.
fn decode_bounded<T: DeserializeOwned>(payload: &[u8], each: usize) -> Option<T> {
    let mut value = None;
    let allocated = allocation_counter::measure(|| value = codec::decode::<T>(payload));
    let limit = 4 * each * payload.len() + 8192;
    assert!(
        allocated.bytes_max <= limit as u64,
        "{} bytes allocated, more than {limit}",
        allocated.bytes_max
    );
    value
}
