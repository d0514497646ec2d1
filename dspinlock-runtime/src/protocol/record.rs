//! The two entries that a store has for one key.

use bytes::Bytes;

use crate::protocol::state::{BadState, State};
use crate::protocol::value::HeaderRef;

/// Both entries of one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Record {
    /// The state, which py-dspinlock shares.
    pub state: Slot,
    /// Header and payload, which py-dspinlock does not know.
    pub value: Slot,
}

/// One entry of a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Slot {
    /// The entry does not exist.
    #[default]
    Absent,
    /// The entry is not a string, for example a Redis list.
    WrongType,
    /// The entry is a string.
    Bytes {
        /// The content.
        bytes: Bytes,
        /// The expiry, in milliseconds since 1970.
        until: Option<u64>,
    },
    /// The entry is a string longer than the request's bound. Only the first bytes were read.
    Long {
        /// The first bytes. For a value, at least the whole header.
        head: Bytes,
        /// The length of the whole entry.
        length: usize,
        /// The expiry, in milliseconds since 1970.
        until: Option<u64>,
    },
}

impl Record {
    /// The record without the entries that have expired at `now`, in microseconds since 1970.
    pub fn at(self, now: u64) -> Self {
        Self {
            state: self.state.at(now),
            value: self.value.at(now),
        }
    }

    /// Whether the state has this tag and this number, and the value has this fence.
    pub(crate) fn is_held(&self, tag: &str, fence: u64, computed: bool) -> bool {
        let state = self.state.as_state();
        let own = matches!(state, Some(Ok(state)) if state.tag == tag && state.computed == computed);
        own && self.value.as_header().is_some_and(|header| header.fence == fence)
    }

    /// The record with this expiry on both entries.
    pub(crate) fn until(mut self, deadline: u64) -> Self {
        for slot in [&mut self.state, &mut self.value] {
            if let Slot::Bytes { until, .. } | Slot::Long { until, .. } = slot {
                *until = Some(deadline);
            }
        }
        self
    }
}

impl Slot {
    /// The state in this slot, `None` if the slot is absent. Other content is an error and never counts as absent.
    pub(crate) fn as_state(&self) -> Option<Result<State<'_>, BadState>> {
        match self {
            Self::Absent => None,
            Self::WrongType | Self::Long { .. } => Some(Err(BadState::Malformed)),
            Self::Bytes { bytes, .. } => Some(State::parse(bytes)),
        }
    }

    /// The bytes of this slot, `None` if there are more than `bound`.
    pub(crate) fn whole(&self, bound: usize) -> Option<&Bytes> {
        match self {
            Self::Bytes { bytes, .. } if bytes.len() <= bound => Some(bytes),
            _ => None,
        }
    }

    /// Whether this slot has more than `bound` bytes.
    pub(crate) fn is_longer(&self, bound: usize) -> bool {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() > bound,
            Self::Long { .. } => true,
            Self::Absent | Self::WrongType => false,
        }
    }

    /// The header of the value in this slot, of a long value too. Content that is not a value counts as absent.
    pub(crate) fn as_header(&self) -> Option<HeaderRef<'_>> {
        match self {
            Self::Bytes { bytes, .. } => HeaderRef::parse(bytes, bytes.len()),
            Self::Long { head, length, .. } => HeaderRef::parse(head, *length),
            Self::Absent | Self::WrongType => None,
        }
    }

    /// Milliseconds until this slot expires, `None` if it has no expiry.
    pub(crate) fn remaining(&self, now: u64) -> Option<u64> {
        match self {
            Self::Bytes {
                until: Some(until), ..
            }
            | Self::Long {
                until: Some(until), ..
            } => Some(until.saturating_sub(now / 1000)),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Bytes { bytes, .. } => bytes.clone(),
            _ => Bytes::new(),
        }
    }

    fn at(self, now: u64) -> Self {
        match self {
            Self::Bytes {
                until: Some(until), ..
            }
            | Self::Long {
                until: Some(until), ..
            } if until < now / 1000 => Self::Absent,
            other => other,
        }
    }
}
