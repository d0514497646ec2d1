//! The framing of a reader on arbitrary replies: the first bytes say which reply is due and where the bytes are cut.
//!
//! The frames are the same wherever the bytes are cut, each one can be the reply that is due, and the memory is bounded.

#![no_main]

use frame::{Due, Frame, Frames, Malformed};
use libfuzzer_sys::fuzz_target;

#[path = "../../dspinlock-runtime/src/store/redis/reader/frame.rs"]
mod frame;

/// Longer than a frame that is copied out of the block.
const MAX: usize = 20_000;
/// The block that small frames share.
const BLOCK: usize = 32 * 1024;

fuzz_target!(|input: (bool, u16, u8, &[u8])| {
    let (is_login, max, size, bytes) = input;
    let max = usize::from(max) % MAX;
    let due = if is_login { Due::Ok } else { Due::Bulk { max } };
    let mut found = Vec::new();
    let info = allocation_counter::measure(|| found = frames(bytes, bytes.len().max(1), due));
    let copied = bytes.len() as u64;
    assert!(info.bytes_max <= 64 * 1024 + 8 * copied + max as u64, "{info:?}");
    assert_eq!(frames(bytes, usize::from(size) + 1, due), found);
    for frame in found {
        match frame {
            Ok(Frame::Bulk(payload)) => assert!(!is_login && payload.len() <= max),
            Ok(Frame::Null) => assert!(!is_login),
            Ok(Frame::Ok) => assert!(is_login),
            Ok(Frame::Error) | Err(Malformed) => {}
        }
    }
});

/// The frames in `bytes`, which arrive in pieces of `size` bytes.
fn frames(bytes: &[u8], size: usize, due: Due) -> Vec<Result<Frame, Malformed>> {
    let mut frames = Frames::new();
    let mut found = Vec::new();
    assert!(frames.is_empty());
    for mut piece in bytes.chunks(size) {
        while !piece.is_empty() {
            let space = frames.space();
            let count = space.len().min(piece.len());
            assert!(count > 0);
            space[..count].copy_from_slice(&piece[..count]);
            frames.add(count);
            piece = &piece[count..];
            loop {
                match frames.next(due) {
                    Ok(Some(frame)) => found.push(Ok(frame)),
                    Ok(None) => {
                        assert!(frames.space().len() <= BLOCK.max(MAX + 2));
                        break;
                    }
                    Err(malformed) => {
                        found.push(Err(malformed));
                        return found;
                    }
                }
            }
        }
    }
    found
}
