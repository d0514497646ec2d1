//! All that a store keeps for one key.

use bytes::Bytes;

use crate::protocol::state::{BadState, State};
use crate::protocol::value::Line;

/// Both entries of one key, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Record {
    /// What py-dspinlock sees too.
    pub state: Slot,
    /// Header and payload.
    pub value: Slot,
}

/// One entry of a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Slot {
    /// There is none.
    #[default]
    Absent,
    /// Not a string (a Redis list, say).
    WrongType,
    /// Bytes.
    Bytes {
        /// The content.
        bytes: Bytes,
        /// The millisecond since 1970 after which it is gone.
        until: Option<u64>,
    },
    /// More bytes than were asked for, so that they were not read.
    Long {
        /// The first ones: where a header may be, all of it.
        head: Bytes,
        /// How many there are.
        length: usize,
        /// As above.
        until: Option<u64>,
    },
}

impl Record {
    /// The record at `now` (microseconds since 1970): an entry is gone when its time is over.
    pub fn at(self, now: u64) -> Self {
        Self {
            state: self.state.at(now),
            value: self.value.at(now),
        }
    }

    /// Whether the state is this tag's and the value this fence's.
    pub(crate) fn is_held(&self, tag: &str, fence: u64, computed: bool) -> bool {
        let state = self.state.as_state();
        let own = matches!(state, Some(Ok(state)) if state.tag == tag && state.computed == computed);
        own && self.value.as_header().is_some_and(|header| header.fence == fence)
    }

    /// Both entries until the same moment.
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
    /// The state in this slot, `None` where there is none. What is not a state is an error, never absent.
    pub(crate) fn as_state(&self) -> Option<Result<State<'_>, BadState>> {
        match self {
            Self::Absent => None,
            Self::WrongType | Self::Long { .. } => Some(Err(BadState::Malformed)),
            Self::Bytes { bytes, .. } => Some(State::parse(bytes)),
        }
    }

    /// All of this slot, where it is no longer than `bound`.
    pub(crate) fn whole(&self, bound: usize) -> Option<&Bytes> {
        match self {
            Self::Bytes { bytes, .. } if bytes.len() <= bound => Some(bytes),
            _ => None,
        }
    }

    /// The header of the value in this slot, however long the value is. What is not a value counts as absent.
    pub(crate) fn as_header(&self) -> Option<Line<'_>> {
        match self {
            Self::Bytes { bytes, .. } => Line::parse(bytes, bytes.len()),
            Self::Long { head, length, .. } => Line::parse(head, *length),
            Self::Absent | Self::WrongType => None,
        }
    }

    /// Milliseconds until this slot is empty; `None` where it has no expiry.
    pub(crate) fn left(&self, now: u64) -> Option<u64> {
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
