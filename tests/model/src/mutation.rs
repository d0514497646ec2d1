//! The library's protocol step, and mutations of it. The tests show that each mutation violates a property.

use std::cell::RefCell;
use std::collections::HashMap;

use dspinlock_runtime::internals::key::{Format, Key};
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_runtime::internals::protocol::tag::{Head, Id, Kind, Tag};
use dspinlock_runtime::internals::protocol::{self, Publish, Reply, Request};

use crate::interned::EntryId;

type Input = (Mutation, Format, EntryId, u64, Request);

thread_local! {
    static STEPS: RefCell<HashMap<Input, (EntryId, Reply)>> = RefCell::default();
}

/// A single change of the protocol. Every variant calls [`protocol::apply`] and changes its input or its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The unchanged protocol.
    None,
    /// PUBLISH compares only the tag.
    PublishByTag,
    /// PUBLISH compares nothing if another program holds the key.
    PublishOverForeign,
    /// PUBLISH compares nothing.
    PublishUnchecked,
    /// PUBLISH succeeds if there is no entry.
    PublishWithoutEntry,
    /// DELETE keeps an entry that is BLOCKED.
    DeleteKeepsBlocked,
    /// The fence is a counter in the entry, like INCR.
    CountedFence,
    /// A RELEASE compares nothing.
    ReleaseUnchecked,
    /// An ACQUIRE that is sent again gets a new fence.
    RetryGetsNewFence,
    /// An ACQUIRE that is sent again sees its own lock as that of another call.
    RetryIsNotRecognized,
    /// An ACQUIRE is granted although its call has already published.
    GrantOverOwnResult,
    /// ABORT removes a result, too.
    AbortRemovesResult,
    /// ABORT changes nothing.
    AbortIgnored,
}

impl Mutation {
    /// Runs one step. Results are memoized, because a step is a pure function and many states repeat it.
    pub fn step(self, format: Format, entry: EntryId, now: u64, request: Request) -> (EntryId, Reply) {
        STEPS.with_borrow_mut(|steps| {
            let input = (self, format, entry, now, request);
            if let Some(output) = steps.get(&input) {
                return output.clone();
            }
            let (after, reply) = self.apply(&key(format), entry.entry().at(now), now, &input.4);
            let output = (EntryId::of(after), reply);
            steps.insert(input, output.clone());
            output
        })
    }

    fn apply(self, key: &Key, entry: Entry, now: u64, request: &Request) -> (Entry, Reply) {
        let shipped = |entry: Entry| {
            let (after, reply) = protocol::apply(key, &entry, now, request);
            (after.unwrap_or(entry), reply)
        };
        match (self, request) {
            (Self::PublishByTag, Request::Publish(publish)) => match id(&entry) {
                Some(id) if id.tag == publish.id.tag => {
                    let publish = Publish {
                        id,
                        ..publish.clone()
                    };
                    let (after, reply) = protocol::apply(key, &entry, now, &Request::Publish(publish));
                    (after.unwrap_or(entry), reply)
                }
                _ => shipped(entry),
            },
            (Self::PublishOverForeign, Request::Publish(publish)) if id(&entry).is_none() => {
                shipped(held_by(key, publish.id))
            }
            (Self::PublishUnchecked, Request::Publish(publish)) => shipped(held_by(key, publish.id)),
            (Self::PublishWithoutEntry, Request::Publish(publish)) if entry == Entry::Absent => {
                shipped(held_by(key, publish.id))
            }
            (Self::DeleteKeepsBlocked, Request::Delete) if is_blocked(&entry) => {
                (entry, Reply::Deleted(true))
            }
            (Self::CountedFence, Request::Acquire(_)) => {
                let last = fence(&entry).unwrap_or(0);
                count_fence(key, &entry.clone(), shipped(entry), last)
            }
            (Self::ReleaseUnchecked, Request::Release(release)) => shipped(held_by(key, release.id)),
            (_, Request::Acquire(acquire)) if owner(&entry) == Some(acquire.tag) => {
                let (mut acquire, mut before) = (acquire.clone(), entry.clone());
                match (self, is_blocked(&entry)) {
                    (Self::RetryGetsNewFence, true) | (Self::GrantOverOwnResult, false) => {
                        acquire.seize = true;
                        before = of_another(&entry, acquire.tag);
                    }
                    (Self::RetryIsNotRecognized, true) => acquire.tag = tag("z"),
                    _ => {}
                }
                let (after, reply) = protocol::apply(key, &before, now, &Request::Acquire(acquire));
                (after.unwrap_or(entry), reply)
            }
            (Self::AbortRemovesResult, Request::Abort { tag }) if owner(&entry) == Some(*tag) => {
                (Entry::Absent, Reply::Aborted(true))
            }
            (Self::AbortIgnored, Request::Abort { .. }) => (entry, Reply::Aborted(false)),
            _ => shipped(entry),
        }
    }
}

/// The key of a model.
fn key(format: Format) -> Key {
    Key::new(format, "model".into(), [1; 32])
}

/// A tag of one character.
pub fn tag(name: &str) -> Tag {
    Tag::parse(name.repeat(16).as_bytes()).expect("a tag")
}

/// The content of an entry, without the expiry.
pub(crate) fn content(entry: &Entry) -> Option<&[u8]> {
    match entry {
        Entry::Bytes { bytes, .. } => Some(bytes),
        _ => None,
    }
}

/// The entry as another call would have written it.
fn of_another(entry: &Entry, own: Tag) -> Entry {
    let mut entry = entry.clone();
    if let Entry::Bytes { bytes, .. } = &mut entry {
        let text = String::from_utf8_lossy(bytes);
        *bytes = text
            .replacen(own.as_str(), tag("z").as_str(), 1)
            .into_bytes()
            .into();
    }
    entry
}

/// The grant that wrote an entry.
fn id(entry: &Entry) -> Option<Id> {
    let bytes = content(entry)?;
    if let Some(head) = Head::parse(bytes) {
        return Some(head.id);
    }
    let (tag, rest) = State::parse(bytes).ok()?.tag.split_once('.')?;
    Some(Id {
        tag: Tag::parse(tag.as_bytes())?,
        fence: rest.split_once('.')?.0.parse().ok()?,
    })
}

/// The tag of the call that wrote an entry.
pub(crate) fn owner(entry: &Entry) -> Option<Tag> {
    id(entry).map(|id| id.tag)
}

/// The last fence in an entry.
pub(crate) fn fence(entry: &Entry) -> Option<u64> {
    id(entry).map(|id| id.fence)
}

/// Whether the lock is held.
pub(crate) fn is_blocked(entry: &Entry) -> bool {
    content(entry).is_some_and(|bytes| match Head::parse(bytes) {
        Some(head) => head.kind == Kind::Blocked,
        None => State::parse(bytes).is_ok_and(|state| !state.computed),
    })
}

/// A state of Python without an expiry.
pub(crate) fn state_of_python(computed: bool) -> Entry {
    let state = State {
        tag: "python",
        timestamp: 0,
        computed,
    };
    Entry::Bytes {
        bytes: state.to_string().into(),
        until: None,
    }
}

/// The entry as if this grant held the lock.
fn held_by(key: &Key, id: Id) -> Entry {
    let text = match key.format() {
        Format::Single => format!("B{id}0,,,,\n"),
        Format::Shared => {
            let tag = format!("{}.{:016}.0@", id.tag, id.fence);
            let state = State {
                tag: &tag,
                timestamp: 0,
                computed: false,
            };
            state.to_string()
        }
    };
    Entry::Bytes {
        bytes: text.into(),
        until: None,
    }
}

/// Replaces the fence of a grant by the successor of the entry's last fence.
fn count_fence(key: &Key, before: &Entry, (after, reply): (Entry, Reply), last: u64) -> (Entry, Reply) {
    let Reply::Acquired(granted) = reply else {
        return (after, reply);
    };
    if content(before) == content(&after) {
        return (after, reply);
    }
    let id = Id {
        fence: last + 1,
        ..granted
    };
    let mut counted = held_by(key, id);
    if let Entry::Bytes { until, .. } = &mut counted {
        *until = after.until();
    }
    (counted, Reply::Acquired(id))
}
