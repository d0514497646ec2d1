//! One caller of a lock: a state machine that mirrors the engine and the lease of the library.

use bytes::Bytes;

/// State of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// The call has not started.
    New,
    /// ACQUIRE was sent.
    Acquiring(Acquiring),
    /// Another call holds the lock. This call will send ACQUIRE again.
    Waiting {
        /// The state that the BUSY reply contained.
        raw: Bytes,
        /// The server may have granted the lock to this call, because a reply was lost.
        armed: bool,
        /// A grant has arrived late before.
        late_grant: bool,
    },
    /// The call holds the lock and runs the body.
    Running(Running),
    /// PUBLISH was sent.
    Publishing {
        /// Number of the last request.
        number: u8,
        /// The request was sent twice.
        resent: bool,
        /// Fence of the grant.
        fence: u64,
        /// Version that the body has computed.
        version: u8,
        /// Local deadline of the lease.
        deadline: u64,
    },
    /// The call has returned or was dropped, or its process has died.
    Done,
    /// The reply to ACQUIRE says that this call has published. The engine relies on this never happening.
    Impossible,
}

/// A call that waits for the reply to ACQUIRE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acquiring {
    /// Number of the last request.
    pub number: u8,
    /// The request was sent twice, because the connection broke.
    pub resent: bool,
    /// When the request was sent first.
    pub sent: u64,
    /// A grant has arrived late before.
    pub late_grant: bool,
    /// The call has waited for another holder.
    pub has_waited: bool,
    /// The state that this call takes over.
    pub stale: Option<Bytes>,
}

/// A call that runs the body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Running {
    /// Fence of the grant.
    pub fence: u64,
    /// Number of invalidations when the body started.
    pub version: u8,
    /// Local deadline of the lease.
    pub deadline: u64,
    /// The reply to a RENEW was LOST.
    pub lost: bool,
    /// The RENEW that waits for its reply: its number, and when it was sent.
    pub renewal: Option<(u8, u64)>,
}

/// A request or a reply in transit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message<T> {
    /// Index of the call.
    pub call: usize,
    /// Number of the request.
    pub number: u8,
    /// Content.
    pub body: T,
}

/// A request of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallRequest {
    /// ACQUIRE, with the state to take over.
    Acquire(Option<Bytes>),
    /// RENEW under this fence.
    Renew(u64),
    /// PUBLISH of a version under this fence, and whether it was sent before.
    Publish(u64, u8, bool),
    /// ABORT.
    Abort,
}

/// A reply to a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallReply {
    /// The call holds the lock under this fence.
    Acquired(u64),
    /// Another call holds the lock.
    Busy(Bytes),
    /// Another call has published a result.
    Hit,
    /// This call has published.
    Published,
    /// The lease is renewed.
    Renewed,
    /// This call does not hold the lock.
    Lost,
}

/// The request that follows a reply or a timeout.
#[derive(Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// No request.
    Nothing,
    /// ACQUIRE under a new number.
    Acquire,
    /// ABORT.
    Abort,
}

impl Call {
    /// Whether the call waits for the reply to this request.
    pub fn awaits(&self, number: u8) -> bool {
        match self {
            Self::Acquiring(acquiring) => acquiring.number == number,
            Self::Publishing { number: own, .. } => *own == number,
            Self::Running(running) => running.renewal.is_some_and(|(own, _)| own == number),
            Self::New | Self::Waiting { .. } | Self::Done | Self::Impossible => false,
        }
    }

    /// Whether the server may hold the key for this call. Such a call sends ABORT when it is dropped.
    pub fn is_armed(&self) -> bool {
        match self {
            Self::New | Self::Done | Self::Impossible => false,
            Self::Waiting { armed, .. } => *armed,
            Self::Acquiring(_) | Self::Running(_) | Self::Publishing { .. } => true,
        }
    }

    /// Whether the body runs and the lease is valid by the local clock.
    pub fn holds_lock(&self, tick: u64) -> bool {
        matches!(self, Self::Running(running) if !running.lost && tick < running.deadline)
    }

    /// Handles the reply that the call waits for.
    pub fn on_reply(&mut self, reply: CallReply, tick: u64, lease: u64, version: u8) -> FollowUp {
        match (&mut *self, reply) {
            (Self::Acquiring(acquiring), CallReply::Acquired(fence)) => {
                if !acquiring.late_grant && tick > acquiring.sent {
                    (acquiring.late_grant, acquiring.resent, acquiring.sent) = (true, false, tick);
                    return FollowUp::Acquire;
                }
                let deadline = acquiring.sent + lease;
                if tick >= deadline {
                    *self = Self::Done;
                    return FollowUp::Abort;
                }
                *self = Self::Running(Running {
                    fence,
                    version,
                    deadline,
                    lost: false,
                    renewal: None,
                });
            }
            (Self::Acquiring(Acquiring { late_grant, .. }), CallReply::Busy(raw)) => {
                *self = Self::Waiting {
                    raw,
                    armed: false,
                    late_grant: *late_grant,
                }
            }
            (Self::Acquiring(_), CallReply::Hit) => *self = Self::Done,
            (Self::Acquiring(_), _) => *self = Self::Impossible,
            (Self::Running(running), CallReply::Renewed) => {
                let renewed = running.renewal.take().map(|(_, sent)| sent + lease);
                running.deadline = renewed.unwrap_or(running.deadline);
            }
            (Self::Running(running), _) => (running.lost, running.renewal) = (true, None),
            (Self::Publishing { .. }, CallReply::Published) => *self = Self::Done,
            (Self::Publishing { .. }, _) => {
                *self = Self::Done;
                return FollowUp::Abort;
            }
            (Self::New | Self::Waiting { .. } | Self::Done | Self::Impossible, _) => {}
        }
        FollowUp::Nothing
    }

    /// Handles a request that timed out twice.
    pub fn on_timeout(&mut self) -> FollowUp {
        match self {
            Self::Acquiring(acquiring) if acquiring.has_waited => {
                *self = Self::Waiting {
                    raw: Bytes::new(),
                    armed: true,
                    late_grant: acquiring.late_grant,
                };
                FollowUp::Nothing
            }
            Self::Running(running) => {
                running.renewal = None;
                FollowUp::Nothing
            }
            _ => {
                *self = Self::Done;
                FollowUp::Abort
            }
        }
    }
}
