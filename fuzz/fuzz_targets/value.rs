//! The header and the decoder of values on whatever bytes a store may hold.

#![no_main]

use std::fmt::Debug;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use protocol::value::{Header, Hit, Holder, MAX_HEADER, Stored, Value};
use rooms::{codec, protocol};
use types::{Flat, Key, Level, Shape};

#[path = "value/types.rs"]
mod types;

#[allow(dead_code, unreachable_pub)]
#[path = "../../dspinlock-runtime/src"]
mod rooms {
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
            printed(&value);
            decoded(&value.payload);
        }
        // No input guesses a checksum: what is no value is made the payload of one.
        None => {
            let value = around(bytes);
            printed(&value);
            assert!(Hit::parse(&value.print()).is_some_and(|hit| hit.is_intact()));
            decoded(&value.payload);
        }
    }
});

/// A value comes back from the bytes that it is printed as, unless another writer has left out so much that our
/// header is too long.
fn printed(value: &Value) {
    if value.header.to_string().len() <= MAX_HEADER {
        assert_eq!(Value::parse(&value.print()).as_ref(), Some(value));
        let cut = Hit::parse(&value.print()).map(|hit| (hit.payload, hit.fence));
        let stored = value.header.value.as_ref();
        assert_eq!(cut, stored.map(|stored| (value.payload.clone(), stored.fence)));
    }
}

fn around(payload: Bytes) -> Value {
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

fn decoded(payload: &[u8]) {
    comes_back::<Shape>(payload);
    comes_back::<Vec<Shape>>(payload);
    comes_back::<Flat>(payload);
    comes_back::<Vec<(Key, Option<Option<()>>)>>(payload);
    comes_back::<Vec<Vec<String>>>(payload);
    bounded::<Level>(payload, 64);
    bounded::<IgnoredAny>(payload, 0);
}

/// What decodes is encoded, and decoded again, to the same.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) {
    if let Some(value) = bounded::<T>(payload, size_of::<T>()) {
        let encoded = codec::encode(&value).expect("what was decoded can be encoded");
        assert_eq!(codec::decode(&encoded), Some(value));
    }
}

/// Decodes within the memory of the largest value that the bytes could be, `each` byte of them. Beside it there is a nil
/// in 128 `Some`, each in a box.
fn bounded<T: DeserializeOwned>(payload: &[u8], each: usize) -> Option<T> {
    let mut value = None;
    let taken = allocation_counter::measure(|| value = codec::decode::<T>(payload));
    let limit = 4 * each * payload.len() + 8192;
    assert!(taken.bytes_max <= limit as u64, "{} > {limit}", taken.bytes_max);
    value
}
