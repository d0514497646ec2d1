//! The digests that a thread has computed recently. `hasher` uses it: a hit in the near cache would spend most of its time on
//! SHA-256.
//!
//! A digest is used again only for the same site and the same canonical bytes, which are compared as a whole.

use std::any::TypeId;
use std::cell::RefCell;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// The longest canonical bytes that are remembered.
pub(super) const MAX_BYTES: usize = 120;

/// How many digests a thread remembers at most, in 16 KiB.
const SLOTS: usize = 64;

/// One instance of a site, whose name is a part of the digest: the site by its address, and the type of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    site: usize,
    body: TypeId,
}

/// The digest of a key. It is aligned, because a copy of 32 bytes at an odd address of the stack stalls for some nanoseconds.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct KeyDigest(pub(crate) [u8; 32]);

struct Recent {
    slots: Box<[Option<Slot>; SLOTS]>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Slot {
    owner: Owner,
    bytes: [u8; MAX_BYTES],
    length: usize,
    digest: KeyDigest,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::new(Recent {
        slots: Box::new([None; SLOTS]),
        hasher: RandomState::default(),
    });
}

impl Owner {
    /// A site lives as long as the process, so an address has one content. A program that unloads a plugin with annotated
    /// functions must not share this crate with it.
    #[inline]
    pub(crate) fn new<T>(site: &'static T, body: TypeId) -> Self {
        Self {
            site: std::ptr::from_ref(site).addr(),
            body,
        }
    }
}

/// The digest of these canonical bytes for this site, if the thread remembers it.
#[inline]
pub(super) fn get(owner: Owner, bytes: &[u8]) -> Option<KeyDigest> {
    let get = |recent: &RefCell<Recent>| {
        let recent = recent.borrow();
        let slot = recent.slots[recent.slot(bytes)].as_ref()?;
        (slot.owner == owner && slot.bytes[..slot.length] == *bytes).then_some(slot.digest)
    };
    // A thread that ends remembers nothing any more.
    RECENT.try_with(get).ok().flatten()
}

/// Remembers the digest of at most [`MAX_BYTES`] canonical bytes.
pub(super) fn insert(owner: Owner, bytes: &[u8], digest: KeyDigest) {
    let mut slot = Slot {
        owner,
        bytes: [0; MAX_BYTES],
        length: bytes.len(),
        digest,
    };
    slot.bytes[..bytes.len()].copy_from_slice(bytes);
    let _ = RECENT.try_with(|recent| {
        let mut recent = recent.borrow_mut();
        let at = recent.slot(bytes);
        recent.slots[at] = Some(slot);
    });
}

impl Recent {
    #[inline]
    fn slot(&self, bytes: &[u8]) -> usize {
        self.hasher.hash_one(bytes) as usize % SLOTS
    }
}
