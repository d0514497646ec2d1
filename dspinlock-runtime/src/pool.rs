//! The store that calls go to: one for the process, or one's own.

pub(crate) mod flight;
pub(crate) mod near_cache;
mod open;
mod secret;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use once_cell::sync::OnceCell;

use crate::error::{Error, StoreFailure};
use crate::key::Key;
use crate::pool::flight::Flights;
use crate::pool::near_cache::{Fill, Near};
use crate::pool::secret::{SEAL, Secret};
use crate::protocol::value::{Hit, MAX_HEADER};
use crate::protocol::{Read, Reply, Request};
use crate::store::{self, Change, Failure, Route, SharedStore, Tracked};

static GLOBAL: OnceCell<Pool> = OnceCell::new();

/// The default of [`Pool::max_value_size`]: 8 MiB.
const MAX_VALUE_SIZE: usize = 8 << 20;

/// Makes `pool` the one that annotated functions use. To be called once, before the first of them is.
///
/// Without it the first call opens the URL in the environment variable `DSPINLOCK_URL`, else the embedded store of this
/// machine.
///
/// # Errors
///
/// [`Error::Configuration`] where the process has a pool already.
pub fn init(pool: Pool) -> Result<(), Error> {
    GLOBAL
        .set(pool)
        .map_err(|_| Error::Configuration("this process has its pool already".into()))
}

/// A store and its connection. Cloning it is cheap and shares both.
///
/// A pool may be used from every thread, runtime and executor: its connection lives on a thread of the library's own.
#[derive(Clone)]
pub struct Pool {
    store: SharedStore,
    /// The connection that carries the steps of one caller.
    route: Route,
    local: Arc<Local>,
    max_value_size: usize,
    secret: Option<Arc<Secret>>,
}

/// What a pool knows in this process.
struct Local {
    flights: Flights,
    near: Arc<Near>,
}

impl Pool {
    /// The greatest length of an encoded value in bytes, 8 MiB by default. A longer one is an error and is not stored;
    /// a longer one that another has stored counts as none.
    pub fn with_max_value_size(mut self, bytes: usize) -> Self {
        self.max_value_size = bytes;
        self
    }

    /// How many values the near cache keeps in this process, 10,000 by default; 0 turns it off. The one that came first
    /// goes first, unless it was of use lately. The values' own sizes are not counted.
    ///
    /// It serves functions with `near_cache` on a Redis or Valkey server that pushes changes; on every other store they
    /// read the store at each call.
    pub fn with_near_cache_size(self, entries: usize) -> Self {
        self.local.near.resize(entries);
        self
    }

    /// Keys that nobody can guess and values that nobody else can have written: both are bound to this secret with
    /// HMAC-SHA-256. It has at least 16 bytes; 32 random ones are best.
    ///
    /// Every process that shares results needs the same secret. To a pool with one, a value that was written without
    /// it, altered, cut or moved from another key is as good as none; keys have other names than without, also those with
    /// `name = ""` and of [`HashDSpinlock`](crate::lock::HashDSpinlock), which Python workers then do not share. What is
    /// not protected: whoever may write to the store can delete results, hold or free locks, mark a key as computed for
    /// callers that want no value, and bring back an older value of the same key.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] for a secret of less than 16 bytes.
    pub fn with_secret(mut self, secret: impl AsRef<[u8]>) -> Result<Self, Error> {
        self.secret = Some(Arc::new(Secret::new(secret.as_ref())?));
        Ok(self)
    }

    pub(crate) fn new(store: SharedStore) -> Self {
        let near = Arc::<Near>::default();
        store.listen(near.clone());
        Self {
            store,
            route: Route::Background,
            local: Arc::new(Local {
                flights: Flights::default(),
                near,
            }),
            max_value_size: MAX_VALUE_SIZE,
            secret: None,
        }
    }

    /// The process's pool.
    pub(crate) fn global() -> Result<&'static Self, Error> {
        GLOBAL.get_or_try_init(open::from_environment)
    }

    /// The process's pool, where there is one already.
    pub(crate) fn known() -> Option<&'static Self> {
        GLOBAL.get()
    }

    pub(crate) fn near(&self) -> &Arc<Near> {
        &self.local.near
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.local.flights
    }

    /// How many names somebody waits for.
    pub(crate) fn watches(&self) -> usize {
        store::watched_names(&self.store)
    }

    pub(crate) fn max_value_size(&self) -> usize {
        self.max_value_size
    }

    /// The key in the store: a pool with a secret has names of its own.
    #[inline]
    pub(crate) fn named(&self, key: Key) -> Key {
        match &self.secret {
            None => key,
            Some(secret) => secret.rename(&key),
        }
    }

    /// What is stored in the place of a payload.
    pub(crate) fn seal(&self, key: &Key, tag: &str, fence: u64, payload: &Bytes) -> Bytes {
        match &self.secret {
            None => payload.clone(),
            Some(secret) => secret.seal(key, tag, fence, payload),
        }
    }

    /// Whether the value is what was published; its seal is taken off.
    #[inline]
    pub(crate) fn unseal(&self, key: &Key, hit: &mut Hit) -> bool {
        hit.is_intact() && self.secret.as_ref().is_none_or(|secret| secret.unseal(key, hit))
    }

    /// The greatest length of header and payload together.
    pub(crate) fn bound(&self) -> usize {
        let seal = self.secret.as_ref().map_or(0, |_| SEAL);
        self.max_value_size
            .saturating_add(MAX_HEADER + seal)
            .min(i64::MAX as usize)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }

    /// This pool by the way that is shortest for the caller.
    pub(crate) fn here(&self) -> Self {
        Self {
            route: Route::for_caller(),
            ..self.clone()
        }
    }

    /// This pool by the way that depends on no runtime of a user's.
    pub(crate) fn in_background(&self) -> Self {
        Self {
            route: Route::Background,
            ..self.clone()
        }
    }

    /// Asks the store to take a step. A request whose connection broke, or whose runtime ended, is sent once more from
    /// the background: with the same tag the step is the same one. What broke it may have broken the connection of the
    /// background too, which is seen only now: the one after that is new.
    pub(crate) async fn ask(&self, key: &Key, request: Request) -> Result<Reply, Error> {
        let operation = operation(&request);
        let mut answer = self.store.step(key, request.clone(), &self.route).await;
        let is_background = matches!(self.route, Route::Background);
        for _ in 0..1 + u8::from(!is_background) {
            if !matches!(answer, Err(Failure::Unknown(StoreFailure::Disconnected))) {
                break;
            }
            answer = self.store.step(key, request.clone(), &Route::Background).await;
        }
        self.written(key, &answer);
        answer.map_err(|failure| explain(operation, key, failure))
    }

    /// [`ask`](Self::ask) for a read, whose future is small: every hit carries it.
    pub(crate) async fn read(&self, key: &Key, read: Read) -> Result<Reply, Error> {
        let request = Request::Read(read.clone());
        match self.store.step(key, request, &self.route).await {
            Err(Failure::Unknown(StoreFailure::Disconnected)) => {
                Box::pin(self.ask(key, Request::Read(read))).await
            }
            answer => {
                self.written(key, &answer);
                answer.map_err(|failure| explain("read", key, failure))
            }
        }
    }

    /// Asks the store to take a step that so many replicas are to hear of, in the background.
    pub(crate) async fn ask_replicas(
        &self,
        key: &Key,
        request: Request,
        replicas: u32,
    ) -> Result<Reply, Error> {
        let operation = operation(&request);
        let mut answer = self.store.step_replicated(key, request.clone(), replicas).await;
        if matches!(answer, Err(Failure::Unknown(StoreFailure::Disconnected))) {
            answer = self.store.step_replicated(key, request, replicas).await;
        }
        self.written(key, &answer);
        answer.map_err(|failure| explain(operation, key, failure))
    }

    /// Reads for a caller with a near cache, in the background, where changes are heard of. The place in the near cache
    /// is taken before the read is sent, and lost where the value changes before it is filled.
    pub(crate) async fn read_near(&self, key: &Key, read: Read) -> Result<(Reply, Option<Fill>), Error> {
        let mut fill = self.near().begin(key);
        if fill.is_some() {
            let mut answer = self.store.read_tracked(key, read.clone()).await;
            if matches!(answer, Err(Failure::Unknown(StoreFailure::Disconnected))) {
                fill = self.near().begin(key);
                answer = self.store.read_tracked(key, read.clone()).await;
            }
            if let Some(Tracked { reply, registered }) =
                answer.map_err(|failure| explain("read", key, failure))?
            {
                let fill = fill.filter(|_| registered).map(|mut fill| {
                    fill.left = left(&reply);
                    fill
                });
                return Ok((reply, fill));
            }
        }
        drop(fill);
        Ok((self.read(key, read).await?, None))
    }

    /// Read-after-own-write: before a caller goes on, what it wrote is forgotten here. What others write, and what was
    /// written for a caller that has left, the store tells.
    fn written(&self, key: &Key, answer: &Result<Reply, Failure>) {
        use Reply::{Bad, Busy, Computed, Exists, Hit, Miss, Renewed};
        if !matches!(
            answer,
            Ok(Miss | Hit(..) | Busy(_) | Exists(_) | Computed | Bad(_) | Renewed)
        ) {
            self.near().forget(key);
        }
    }

    /// Asks the store to take a step and to tell of the next change, in the background.
    pub(crate) async fn ask_watched(&self, key: &Key, request: Request) -> Result<(Reply, Change), Error> {
        let operation = operation(&request);
        let mut answer = self.store.step_watched(key, request.clone()).await;
        if matches!(answer, Err(Failure::Unknown(StoreFailure::Disconnected))) {
            answer = self.store.step_watched(key, request).await;
        }
        if let Ok((reply, _)) = &answer
            && matches!(reply, Reply::Acquired(_))
        {
            self.near().forget(key);
        }
        answer.map_err(|failure| explain(operation, key, failure))
    }
}

/// What is left of a value's life, at most all of it.
fn left(reply: &Reply) -> Option<Duration> {
    match reply {
        Reply::Hit(hit, left) => Some(Duration::from_millis(left.unwrap_or(hit.life).min(hit.life))),
        _ => None,
    }
}

fn explain(operation: &'static str, key: &Key, failure: Failure) -> Error {
    match failure {
        Failure::NotReady { address, reason } => Error::RedisNotInitialized { address, reason },
        Failure::Unknown(reason) | Failure::Refused(reason) => Error::Store {
            operation,
            key: key.clone(),
            reason,
        },
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max_value_size", &self.max_value_size)
            .finish_non_exhaustive()
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::Read(_) => "read",
        Request::Acquire(_) => "acquire",
        Request::Renew(_) => "renew",
        Request::Publish(_) => "publish",
        Request::Abort { .. } => "abort",
        Request::Delete => "delete",
    }
}
