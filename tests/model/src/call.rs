//! One caller, as the library's engine and lease behave: what it asks, and what it does with an answer.

use bytes::Bytes;

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Not called yet.
    New,
    /// ACQUIRE is under way.
    Asks(Asks),
    /// Another holds the lock; this one looks again.
    Waits {
        /// The bytes it saw.
        raw: Bytes,
        /// The store may hold the key for this call: an answer never came.
        armed: bool,
        /// A grant came late once already.
        late: bool,
    },
    /// The body runs.
    Runs(Runs),
    /// PUBLISH is under way.
    Publishes {
        /// The request whose answer counts.
        number: u8,
        /// It was sent again.
        again: bool,
        /// The grant's fence.
        fence: u64,
        /// What the body made.
        version: u8,
        /// The lease's local end.
        deadline: u64,
    },
    /// It is over: with a result, with an error, dropped, or its process died.
    Over,
    /// An ACQUIRE was answered as if this very call had published: the engine takes this for impossible.
    Impossible,
}

/// A call that waits for the answer to its ACQUIRE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asks {
    /// The request whose answer counts.
    pub number: u8,
    /// It was sent again: the connection broke.
    pub again: bool,
    /// When the first copy was sent.
    pub sent: u64,
    /// A grant came late once already.
    pub late: bool,
    /// It has seen another hold the lock.
    pub begun: bool,
    /// The bytes that were judged stale.
    pub stale: Option<Bytes>,
}

/// A call whose body runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Runs {
    /// The grant's fence.
    pub fence: u64,
    /// How many invalidations had been processed when it began.
    pub version: u8,
    /// The lease's local end.
    pub deadline: u64,
    /// A beat said that the lease is lost.
    pub lost: bool,
    /// The beat that is under way: its number, and when it was sent.
    pub beat: Option<(u8, u64)>,
}

/// A request or an answer on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message<T> {
    /// Whose.
    pub call: usize,
    /// Of which request.
    pub number: u8,
    /// What it says.
    pub body: T,
}

/// What a call asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// ACQUIRE, with the bytes that were judged stale.
    Acquire(Option<Bytes>),
    /// RENEW by this fence.
    Renew(u64),
    /// PUBLISH by this fence.
    Publish(u64, u8),
    /// ABORT.
    Abort,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// The lock, under this fence.
    Acquired(u64),
    /// Another holds it.
    Busy(Bytes),
    /// Another's result.
    Hit,
    /// This call has published.
    Published,
    /// A full lease again.
    Renewed,
    /// The lock is another's, or nobody's.
    Lost,
}

/// What a call sends next.
#[derive(Debug, PartialEq, Eq)]
pub enum Sends {
    /// Nothing.
    Nothing,
    /// An ACQUIRE as its state says, under a new number.
    Acquire,
    /// That nothing of its own may stay behind.
    Abort,
}

impl Call {
    /// The numbers of the requests whose answers it waits for.
    pub fn awaits(&self, number: u8) -> bool {
        match self {
            Self::Asks(asks) => asks.number == number,
            Self::Publishes { number: own, .. } => *own == number,
            Self::Runs(runs) => runs.beat.is_some_and(|(own, _)| own == number),
            Self::New | Self::Waits { .. } | Self::Over | Self::Impossible => false,
        }
    }

    /// The store may hold the key for it: when it is dropped it says ABORT.
    pub fn is_armed(&self) -> bool {
        match self {
            Self::New | Self::Over | Self::Impossible => false,
            Self::Waits { armed, .. } => *armed,
            Self::Asks(_) | Self::Runs(_) | Self::Publishes { .. } => true,
        }
    }

    /// Its body runs, and by its own clock it holds the lock.
    pub fn holds(&self, tick: u64) -> bool {
        matches!(self, Self::Runs(runs) if !runs.lost && tick < runs.deadline)
    }

    /// The answer that it waits for has come.
    pub fn hears(&mut self, answer: Answer, tick: u64, lease: u64, version: u8) -> Sends {
        match (&mut *self, answer) {
            (Self::Asks(asks), Answer::Acquired(fence)) => {
                if !asks.late && tick > asks.sent {
                    (asks.late, asks.again, asks.sent) = (true, false, tick);
                    return Sends::Acquire;
                }
                let deadline = asks.sent + lease;
                if tick >= deadline {
                    *self = Self::Over;
                    return Sends::Abort;
                }
                *self = Self::Runs(Runs {
                    fence,
                    version,
                    deadline,
                    lost: false,
                    beat: None,
                });
            }
            (Self::Asks(Asks { late, .. }), Answer::Busy(raw)) => {
                *self = Self::Waits {
                    raw,
                    armed: false,
                    late: *late,
                }
            }
            (Self::Asks(_), Answer::Hit) => *self = Self::Over,
            (Self::Asks(_), _) => *self = Self::Impossible,
            (Self::Runs(runs), Answer::Renewed) => {
                runs.deadline = runs.beat.take().map_or(runs.deadline, |(_, sent)| sent + lease);
            }
            (Self::Runs(runs), _) => (runs.lost, runs.beat) = (true, None),
            (Self::Publishes { .. }, Answer::Published) => *self = Self::Over,
            (Self::Publishes { .. }, _) => {
                *self = Self::Over;
                return Sends::Abort;
            }
            (Self::New | Self::Waits { .. } | Self::Over | Self::Impossible, _) => {}
        }
        Sends::Nothing
    }

    /// The answer that it waits for will not come in time, twice.
    pub fn fails(&mut self) -> Sends {
        match self {
            Self::Asks(asks) if asks.begun => {
                *self = Self::Waits {
                    raw: Bytes::new(),
                    armed: true,
                    late: asks.late,
                };
                Sends::Nothing
            }
            Self::Runs(runs) => {
                runs.beat = None;
                Sends::Nothing
            }
            Self::Publishes { .. } => {
                *self = Self::Over;
                Sends::Abort
            }
            _ => {
                *self = Self::Over;
                Sends::Abort
            }
        }
    }
}
