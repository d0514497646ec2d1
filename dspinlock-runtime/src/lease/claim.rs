//! What a call may hold in the store, and how it is given up: at every end but a publish, whatever the store does.

use std::time::Duration;

use crate::error::{Error, StoreFailure};
use crate::key::Key;
use crate::pool::Pool;
use crate::pool::flight::Seat;
use crate::protocol::Request;
use crate::rt::sync::Instant;
use crate::rt::{background, blocking};

/// A tag under which the store may hold the key for this call, and the seat of this process's flight. Dropping it
/// gives the key up at once, from the background: by tag alone, on the connection of the request and behind it. The
/// seat passes on when that is done.
pub(crate) struct Claim {
    /// The store by the way that the last request took.
    pub(crate) pool: Pool,
    pub(crate) key: Key,
    pub(crate) tag: String,
    pub(crate) seat: Option<Seat>,
    /// For so long at most the store holds the key for this tag.
    lease: Duration,
    armed: bool,
}

impl Claim {
    pub(crate) fn new(pool: &Pool, key: &Key, lease: Duration, seat: Option<Seat>) -> Self {
        let tag = uuid::Uuid::new_v4().to_string();
        Self {
            pool: pool.clone(),
            key: key.clone(),
            tag,
            seat,
            lease,
            armed: false,
        }
    }

    /// The store is about to be asked, by way of `pool`.
    pub(crate) fn arm(&mut self, pool: &Pool) {
        self.pool = pool.clone();
        self.armed = true;
        if let Some(seat) = &mut self.seat {
            seat.ask();
        }
    }

    /// The store holds nothing for this tag.
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Asks the store to forget this tag. The claim stays armed until that is done: a drop asks again.
    pub(crate) async fn give_up(&mut self) {
        if abort(&self.pool, &self.key, &self.tag).await.is_ok() {
            self.disarm();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let panicking = std::thread::panicking();
        // This thread may drive the connection of the request, and must not wait for itself.
        let pool = if panicking {
            self.pool.in_background()
        } else {
            self.pool.clone()
        };
        let (key, tag) = (self.key.clone(), std::mem::take(&mut self.tag));
        let (seat, lease) = (self.seat.take(), self.lease);
        let done = background::spawn(async move {
            let first = abort(&pool, &key, &tag).await;
            drop(seat);
            if let Err(error) = first {
                insist(&pool, &key, &tag, lease, error).await;
            }
        });
        if panicking {
            // The panic may end the process, and the key would stay locked for its lease. Not for long: it is a courtesy.
            let in_time = async {
                tokio::select! {
                    _ = done => {}
                    () = background::sleep(PANIC_WAITS) => {}
                }
            };
            blocking::wait(in_time);
        }
    }
}

/// How long a panic is held up for the key to be given up.
const PANIC_WAITS: Duration = Duration::from_millis(200);

pub(crate) async fn abort(pool: &Pool, key: &Key, tag: &str) -> Result<(), Error> {
    let tag = tag.to_owned();
    pool.ask(key, Request::Abort { tag }).await.map(drop)
}

/// How often a store that is away is asked again to forget a tag.
const INSISTS: Duration = Duration::from_millis(500);

/// A store that is away for a moment and remembers the key would keep others out until the lease is over.
async fn insist(pool: &Pool, key: &Key, tag: &str, lease: Duration, mut error: Error) {
    let start = Instant::now();
    while is_passing(&error) && start.elapsed() + INSISTS < lease {
        background::sleep(INSISTS).await;
        match abort(pool, key, tag).await {
            Ok(()) => return,
            Err(again) => error = again,
        }
    }
    log::warn!(target: "dspinlock", "{key} stays locked until its lease is over: {error}");
}

/// Whether the store may do the same at another time.
fn is_passing(error: &Error) -> bool {
    use StoreFailure::{Disconnected, Timeout, Unavailable};
    match error {
        Error::RedisNotInitialized { .. } => true,
        Error::Store { reason, .. } => matches!(reason, Disconnected | Timeout | Unavailable(_)),
        _ => false,
    }
}
