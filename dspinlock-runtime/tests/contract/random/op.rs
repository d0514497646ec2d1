//! The elements of a sequence. Fences and stale states differ from store to store, so an element names them indirectly.

use std::cmp::Ordering;

use bytes::Bytes;
use dspinlock_runtime::internals::protocol::header::{Flag, Origin};
use dspinlock_runtime::internals::protocol::tag::{Id, Tag};
use dspinlock_runtime::internals::protocol::{Acquire, Publish, Read, Release, Renew, Reply, Request};

use crate::rig::Foreign;

/// The clock advances by multiples of this step, in milliseconds. Leases expire half a step later, so that a slow machine
/// does not change the result.
pub(crate) const STEP: u64 = 1_000_000;

pub(crate) const TAGS: [&str; 3] = ["aaaaaaaaaaaaaaaa", "b-b-b-b-b-b-b-b-", "c_c_c_c_c_c_c_c_"];

/// One element of a sequence. It applies to one of two keys.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) key: usize,
    pub(crate) op: Op,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Acquire {
        tag: usize,
        lease: u64,
        cached: bool,
        fail_if_key_exists: bool,
        seize: bool,
        refuse: Option<usize>,
        stale: Stale,
        bound: usize,
    },
    Renew {
        tag: usize,
        fence: Fence,
        lease: u64,
    },
    Publish {
        tag: usize,
        fence: Fence,
        ttl: u64,
        payload: Option<Vec<u8>>,
    },
    Release {
        tag: usize,
        fence: Fence,
        was_sent: bool,
    },
    Abort {
        tag: usize,
    },
    Delete,
    Read {
        bound: usize,
    },
    Describe {
        bound: usize,
    },
    Advance(u64),
    Put(Content),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Stale {
    No,
    /// The state in the last BUSY reply of the key.
    Seen,
    Other,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fence {
    /// The last fence of this tag on this key, or 0.
    Own,
    /// An earlier fence, counted from the last grant of all keys.
    Back(usize),
    Other(u64),
}

/// Content of a foreign write.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Nothing,
    WrongType,
    /// A state of Python, or with one of [`TAGS`] and a fence.
    State(Option<(usize, u64)>, &'static str, Option<u64>),
    /// An entry of the single encoding.
    Entry {
        kind: char,
        tag: usize,
        fence: u64,
        left: Option<u64>,
    },
    Garbage(Vec<u8>, Option<u64>),
}

impl Content {
    pub(crate) fn bytes(&self) -> Foreign {
        match self {
            Self::Nothing => Foreign::Nothing,
            Self::WrongType => Foreign::WrongType,
            Self::State(own, number, left) => {
                let tag = own.map_or("python".into(), |(tag, fence)| {
                    format!("{}.{fence:016}.1@host", TAGS[tag])
                });
                let text = format!("{tag},2001-02-03T04:05:06.000007+00:00,{number}");
                Foreign::Bytes(text.into(), *left)
            }
            Self::Entry {
                kind,
                tag,
                fence,
                left,
            } => {
                let rest = match kind {
                    'B' => ",,site\n",
                    _ => "1,2,0,00c0ffee,0123456789_,ok,,,site\nvalue",
                };
                let text = format!("{kind}{}{fence:016}1,host,{rest}", TAGS[*tag]);
                Foreign::Bytes(text.into(), *left)
            }
            Self::Garbage(bytes, left) => Foreign::Bytes(bytes.clone().into(), *left),
        }
    }
}

impl Op {
    /// The request with the fences and states of one store.
    pub(crate) fn request(&self, key: usize, grants: &Grants) -> Request {
        let tag_of = |tag: &usize| self::tag(*tag);
        let id = |tag: &usize, fence: &Fence| Id {
            tag: self::tag(*tag),
            fence: grants.fence(key, *tag, *fence),
        };
        match self {
            Self::Acquire {
                tag,
                lease,
                cached,
                fail_if_key_exists,
                seize,
                refuse,
                stale,
                bound,
            } => Request::Acquire(Acquire {
                tag: tag_of(tag),
                lease: *lease,
                max_block: 4 * STEP + STEP / 2,
                cached: *cached,
                fail_if_key_exists: *fail_if_key_exists,
                seize: *seize,
                refuse: refuse.as_ref().map(tag_of),
                stale: match stale {
                    Stale::No => None,
                    Stale::Seen => grants.busy[key].clone(),
                    Stale::Other => Some(Bytes::from_static(b"a,2001-02-03T04:05:06Z,0")),
                },
                origin: origin(),
                bound: *bound,
            }),
            Self::Renew { tag, fence, lease } => Request::Renew(Renew {
                id: id(tag, fence),
                lease: *lease,
            }),
            Self::Publish {
                tag,
                fence,
                ttl,
                payload,
            } => Request::Publish(Publish {
                id: id(tag, fence),
                ttl: *ttl,
                took: 42,
                payload: payload.clone().map(Bytes::from),
                flag: Flag::Value,
                signature: None,
                origin: origin(),
            }),
            Self::Release { tag, fence, was_sent } => Request::Release(Release {
                id: id(tag, fence),
                was_sent: *was_sent,
            }),
            Self::Abort { tag } => Request::Abort { tag: tag_of(tag) },
            Self::Read { bound } => Request::Read(Read { bound: *bound }),
            Self::Describe { bound } => Request::Describe(Read { bound: *bound }),
            Self::Delete | Self::Advance(_) | Self::Put(_) => Request::Delete,
        }
    }
}

fn tag(at: usize) -> Tag {
    Tag::parse(TAGS[at].as_bytes()).expect("a tag")
}

fn origin() -> Origin {
    Origin::new(1, "host", "a::b<C, D>")
}

/// All grants of one store, in order.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// Key, tag and fence of each grant.
    all: Vec<(usize, Tag, u64)>,
    /// For each key: the state in the last BUSY reply.
    busy: [Option<Bytes>; 2],
}

impl Grants {
    pub(crate) fn note(&mut self, key: usize, request: &Request, reply: &Reply) {
        match (request, reply) {
            (Request::Acquire(_), Reply::Acquired(id)) => {
                self.all.push((key, id.tag, id.fence));
            }
            (_, Reply::Busy(busy)) => self.busy[key] = Some(busy.line.clone()),
            _ => {}
        }
    }

    fn fence(&self, key: usize, tag: usize, fence: Fence) -> u64 {
        let last = match fence {
            Fence::Other(fence) => return fence,
            Fence::Own => self
                .all
                .iter()
                .rev()
                .find(|grant| grant.0 == key && grant.1 == self::tag(tag)),
            Fence::Back(back) => self.all.iter().rev().nth(back),
        };
        last.map_or(0, |grant| grant.2)
    }

    /// Index of the first grant with this fence.
    pub(crate) fn position(&self, fence: u64) -> Option<usize> {
        self.all.iter().position(|grant| grant.2 == fence)
    }

    /// Fails unless the last fence compares to every earlier one as in the other store.
    pub(crate) fn same_order(&self, other: &Self) -> Result<(), String> {
        let order = |grants: &Self| -> Vec<Ordering> {
            let last = grants.all.last().map_or(0, |grant| grant.2);
            grants.all.iter().map(|grant| grant.2.cmp(&last)).collect()
        };
        match order(self) == order(other) {
            true => Ok(()),
            false => Err(format!(
                "the order of the fences differs: expected {self:?}\n   found {other:?}"
            )),
        }
    }
}
