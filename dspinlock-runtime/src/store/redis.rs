//! The store on Redis or Valkey. `store` opens it. No module outside of this folder imports the redis crate.
//!
//! Modules, top first: `cluster`, `node`, `failover`, `reconnect`, `group`, `reader`, `connection`, `tracking`, `wire`, `url`,
//! `tls`, `client_name`, `resp`, `socket`, `timeouts`, `redact`. Imports point downwards.

mod client_name;
#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod failover;
mod group;
mod node;
mod reader;
mod reconnect;
mod redact;
mod resp;
mod socket;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
mod tracking;
mod url;
mod wire;

use std::sync::Arc;

#[cfg(feature = "cluster")]
use self::cluster::Cluster;
#[cfg(feature = "sentinel")]
use self::failover::sentinel::Sentinels;
use self::node::{Node, Shared};
use self::reconnect::{Locate, start_background};
use self::timeouts::Timeouts;
use self::url::limits::timeouts;
use self::url::parts::Parts;
use self::url::target::Target;
use super::api::{Boxed, CallerRead, Change, Failure, Health, Listener, SharedStore, Store, Tracked};
#[cfg(feature = "inspect")]
use super::api::{Names, Server};
use super::credentials::Credentials;
use super::limits::Limits;
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::clock::Instant;
use crate::tls::Tls;

pub use self::url::parameters::RedisParameters;

/// Opens the server, the master of sentinels or the cluster behind a URL.
pub(crate) fn open(
    url: &str,
    tls: Tls,
    credentials: Option<Credentials>,
    limits: Limits,
) -> Result<SharedStore, Error> {
    let (target, timeouts) = resolve(url, tls, limits)?;
    open_target(target.with_credentials(credentials), timeouts)
}

fn resolve(url: &str, tls: Tls, limits: Limits) -> Result<(Target, Timeouts), Error> {
    let parts = Parts::parse(url)?;
    let timeouts = timeouts(&parts.query, limits)?;
    Ok((Target::of(&parts, tls)?, timeouts))
}

fn open_target(target: Target, timeouts: Timeouts) -> Result<SharedStore, Error> {
    Ok(match target {
        Target::Server(address) => Arc::new(RedisStore::new(Arc::new(address), timeouts)?),
        #[cfg(feature = "sentinel")]
        Target::Sentinels {
            sentinels,
            name,
            template,
        } => {
            let sentinels = Sentinels::new(sentinels, name, template);
            Arc::new(RedisStore::new(Arc::new(sentinels), timeouts)?)
        }
        #[cfg(feature = "cluster")]
        Target::Cluster(seeds) => Arc::new(Cluster::open(seeds, timeouts)?),
    })
}

impl RedisParameters {
    /// Opens the server, the master or the cluster that the parameters name.
    pub(crate) fn open(self, credentials: Option<Credentials>, limits: Limits) -> Result<SharedStore, Error> {
        let (target, timeouts) = self.resolve()?;
        open_target(target.with_credentials(credentials), timeouts.with(limits))
    }
}

/// One Redis server. It connects with the first step.
pub struct RedisStore {
    node: Arc<Node>,
}

impl RedisStore {
    /// The server behind a URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] if the URL is invalid or does not lead to one server; [`Error::RedisNotInitialized`] if the
    /// background thread cannot be started.
    pub fn open(url: &str) -> Result<Self, Error> {
        match resolve(url, Tls::default(), Limits::default())? {
            (Target::Server(address), timeouts) => Self::new(Arc::new(address), timeouts),
            #[cfg(any(feature = "sentinel", feature = "cluster"))]
            _ => Err(Error::url("it does not lead to one server")),
        }
    }

    fn new(server: Arc<dyn Locate>, timeouts: Timeouts) -> Result<Self, Error> {
        start_background(&server)?;
        Ok(Self {
            node: Node::new(server, timeouts, Shared::default()),
        })
    }

    /// The number of names that calls wait for.
    pub(crate) fn watched_names(&self) -> usize {
        self.node.shared.watches.count()
    }
}

impl Store for RedisStore {
    fn step(&self, key: &Key, request: Request, since: Instant) -> Boxed<Result<Reply, Failure>> {
        self.node.step(key, request, since)
    }

    fn read(&self, key: &Key, read: Read, since: Instant) -> Boxed<Result<Reply, Failure>> {
        self.node.read(key, read, since)
    }

    fn read_here(&self, key: &Key, read: Read) -> Option<CallerRead> {
        self.node.read_here(key, read)
    }

    fn read_again(
        &self,
        key: &Key,
        read: Read,
        first: Reply,
        since: Instant,
    ) -> Boxed<Result<Reply, Failure>> {
        self.node.read_again(key, read, first, since)
    }

    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>> {
        self.node.step_watched(key, request, since)
    }

    fn step_replicated(
        &self,
        key: &Key,
        request: Request,
        replicas: u32,
        since: Instant,
    ) -> Boxed<Result<Reply, Failure>> {
        self.node.step_replicated(key, request, replicas, false, since)
    }

    fn read_tracked(
        &self,
        key: &Key,
        request: Read,
        since: Instant,
    ) -> Boxed<Result<Option<Tracked>, Failure>> {
        self.node.read_tracked(key, request, since)
    }

    fn pushes(&self, _: &Key) -> bool {
        self.node.pushes()
    }

    fn check(&self, _: &Key, since: Instant) -> Boxed<Result<Health, Failure>> {
        self.node.check(since)
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.node.shared.watches.listen(listener);
    }

    #[cfg(feature = "inspect")]
    fn names(&self, prefix: &str, cursor: &str, since: Instant) -> Boxed<Result<Names, Failure>> {
        self.node.names(prefix, cursor, since)
    }

    #[cfg(feature = "inspect")]
    fn servers(&self, _: Instant) -> Boxed<Result<Vec<Arc<dyn Server>>, Failure>> {
        Box::pin(std::future::ready(Ok(vec![self.node.clone() as Arc<dyn Server>])))
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use dspinlock_testkit::{Redis, eventually};

    use super::*;
    use crate::error::StoreFailure;
    use crate::key::Format;
    use crate::protocol::Acquire;
    use crate::protocol::header::Origin;
    use crate::protocol::tag::Tag;
    use crate::rt::blocking::wait;

    #[test]
    fn an_abort_without_a_connection_ends_its_grant() {
        let mut server = Redis::start();
        let store = RedisStore::open(&server.url()).expect("a good URL");
        let step = |key: &Key, request| wait(store.step(key, request, Instant::now()));
        let known = || store.node.shared.grants.count();
        let key = Key::new(Format::Single, "dspinlock".into(), [1; 32]);
        assert!(matches!(step(&key, acquire()), Ok(Reply::Acquired(_))));
        assert_eq!(known(), 1);
        server.kill();
        eventually("the end of the connection", || {
            matches!(step(&key, Request::Read(READ)), Err(Failure::NotReady { .. })).then_some(())
        });
        assert!(step(&key, Request::Abort { tag: tag() }).is_err());
        assert_eq!(known(), 0);
    }

    fn tag() -> Tag {
        Tag::parse(b"tag-of-16-bytes_").expect("a tag")
    }

    fn acquire() -> Request {
        Request::Acquire(Acquire {
            tag: tag(),
            lease: 10_000,
            max_block: 10_000,
            cached: false,
            fail_if_key_exists: false,
            seize: false,
            refuse: None,
            stale: None,
            origin: Origin::new(1, "host", "site"),
            bound: 1000,
        })
    }

    const READ: Read = Read { bound: 1 };

    /// A store with a limit of one second.
    fn limited(server: &Redis) -> RedisStore {
        RedisStore::open(&format!("{}?socket_timeout=1", server.url())).expect("a good URL")
    }

    /// The beginning of a request whose earlier attempts have left so little of the second.
    fn with_left(rest: Duration) -> Instant {
        let since = Instant::now();
        sleep(Duration::from_secs(1) - rest);
        since
    }

    #[test]
    fn a_request_has_what_earlier_attempts_have_left() {
        let server = Redis::start();
        let store = &limited(&server);
        let key = &Key::new(Format::Single, "dspinlock".into(), [1; 32]);
        let kinds = |rest| {
            let since = || with_left(rest);
            let timed = |outcome: &dyn Fn(Instant) -> Option<Failure>| {
                let (since, start) = (since(), Instant::now());
                (outcome(since), start.elapsed())
            };
            [
                timed(&|since| wait(store.step(key, acquire(), since)).err()),
                timed(&|since| wait(store.read(key, READ, since)).err()),
                timed(&|since| wait(store.step_watched(key, acquire(), since)).err()),
                timed(&|since| wait(store.read_tracked(key, READ, since)).err()),
                timed(&|since| wait(store.step_replicated(key, Request::Delete, 0, since)).err()),
            ]
        };
        let is_good = |(failure, _): &(Option<Failure>, Duration)| failure.is_none();
        assert!(kinds(Duration::from_secs(1)).iter().all(is_good));
        server.pause();
        let outcomes = kinds(Duration::from_millis(200));
        server.resume();
        for (kind, (failure, elapsed)) in outcomes.into_iter().enumerate() {
            let is_in_time = elapsed < Duration::from_millis(600);
            assert!(
                failure.is_some() && is_in_time,
                "{kind}: {failure:?} after {elapsed:?}"
            );
        }
    }

    #[test]
    fn a_request_that_is_overdue_leaves_its_connection_to_the_others() {
        let server = Redis::start();
        let store = limited(&server);
        let key = Key::new(Format::Single, "dspinlock".into(), [1; 32]);
        let connection = || {
            store
                .node
                .reconnecting
                .current()
                .expect("a connection")
                .steps()
                .clone()
        };
        wait(store.step(&key, acquire(), Instant::now())).expect("a reply");
        let before = connection();
        server.pause();
        let since = with_left(Duration::from_millis(100));
        let (overdue, good) = wait(async {
            let overdue = async {
                let outcome = store.read(&key, READ, since).await;
                server.resume();
                outcome
            };
            tokio::join!(overdue, store.read(&key, READ, Instant::now()))
        });
        assert_eq!(overdue, Err(Failure::Unknown(StoreFailure::Timeout)));
        assert!(good.is_ok(), "{good:?}");
        assert!(Arc::ptr_eq(&before, &connection()) && before.is_open());
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_its_password() {
        for url in [
            "redis://:secret@host:port",
            "redis://:secret@host/base",
            "redis://:secret@host?ssl_ca_certs=/no/file",
            "rediss://:secret@host#secret",
            #[cfg(feature = "sentinel")]
            "redis+sentinel://:secret@one,two",
            #[cfg(feature = "sentinel")]
            "redis+sentinel://:secret@one,two/",
            #[cfg(feature = "sentinel")]
            "redis+sentinel://:secret@one,,two/main",
            #[cfg(feature = "sentinel")]
            "redis+sentinel://:secret@one:port/main",
            #[cfg(feature = "sentinel")]
            "redis+sentinel://:secret@one/main/base",
            #[cfg(feature = "cluster")]
            "redis+cluster://:secret@one,two/1",
            #[cfg(feature = "cluster")]
            "redis+cluster://:secret@",
            #[cfg(feature = "cluster")]
            "redis+cluster://:secret@one:70000",
            #[cfg(feature = "cluster")]
            "redis+cluster:",
        ] {
            let Err(Error::InvalidUrl { reason: message }) =
                open(url, Tls::default(), None, Limits::default())
            else {
                panic!("{url} is accepted")
            };
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
