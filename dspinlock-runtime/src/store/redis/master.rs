//! Which master a grant was made under.
//!
//! Replication is asynchronous: what was written last before a failover may be forgotten, and a holder whose key was
//! given to another since may find itself the holder again. Its publish would put an older result over a newer one, so
//! a grant does not outlive its master.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::Value;

use super::Answer;
use super::generation::Generation;
use crate::protocol::{Reply, Request};

/// What a connection was told of the server at its other end when it was made.
pub(super) struct Master {
    /// Of one history of writes: a new one after each promotion and each start. `None` where the server was a replica,
    /// whose history is its master's, also when it is promoted later.
    history: Option<String>,
    /// Of the history before, where a replica was promoted.
    before: Option<String>,
    /// Of one process.
    process: Option<String>,
}

impl Master {
    /// From `INFO replication` and `INFO server`. `None` where the login may not ask.
    pub(super) fn parse(replication: &Answer, server: Option<&Answer>) -> Option<Self> {
        let replication = text(replication)?;
        let history = field(replication, "master_replid")?;
        let is_master = field(replication, "role").as_deref() == Some("master");
        Some(Self {
            history: is_master.then_some(history),
            before: field(replication, "master_replid2").filter(|id| id.bytes().any(|digit| digit != b'0')),
            process: server.and_then(text).and_then(|server| field(server, "run_id")),
        })
    }

    /// Whether what was written under `earlier` is known here. A master that gets its first replica, or has had none for
    /// long, begins a history without a gap: the same process, never promoted.
    fn continues(&self, earlier: &Self) -> bool {
        let (Some(history), Some(other)) = (&self.history, &earlier.history) else {
            return false;
        };
        let same_process = self.process.is_some() && self.process == earlier.process;
        history == other || same_process && self.before.is_none()
    }
}

#[cfg(feature = "cluster")]
impl Master {
    /// Whether this one was a replica of the other until it was promoted.
    pub(super) fn succeeds(&self, other: &Self) -> bool {
        self.before.is_some() && self.before == other.history
    }
}

#[cfg(feature = "cluster")]
impl Grants {
    /// The connection that brought a grant, where it still lasts and leads to another master than this one.
    pub(super) fn by_another(&self, tag: &str, generation: &Arc<Generation>) -> Option<Arc<Generation>> {
        let granted = self.lock().get(tag).cloned();
        granted.filter(|granted| granted.is_open() && !is_same_master(granted, generation))
    }

    /// The key of a grant has moved to another master.
    pub(super) fn rebind(&self, tag: String, generation: Arc<Generation>) {
        self.lock().insert(tag, generation);
    }
}

fn text(answer: &Answer) -> Option<&str> {
    match answer.as_ref().ok()? {
        Value::VerbatimString { text, .. } => Some(text),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn field(info: &str, name: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
    info.lines().find_map(value)
}

/// The grants of this pool that have not ended, by tag, each with the connection that brought it.
#[derive(Default)]
pub(super) struct Grants(Mutex<HashMap<String, Arc<Generation>>>);

impl Grants {
    /// Whether the request may be sent: not a publish whose grant another master made. Without knowledge of masters (a
    /// login that may not run INFO) all may.
    pub(super) fn allow(&self, request: &Request, generation: &Arc<Generation>) -> bool {
        match request {
            Request::Publish(publish) => {
                let granted = self.lock().get(&publish.tag).cloned();
                granted.is_none_or(|granted| is_same_master(&granted, generation))
            }
            request => {
                self.end(request);
                true
            }
        }
    }

    /// A grant that is given up has ended.
    pub(super) fn end(&self, request: &Request) {
        if let Request::Abort { tag } = request {
            self.lock().remove(tag);
        }
    }

    /// What became of the request with this tag.
    pub(super) fn note(&self, tag: Option<String>, reply: &Reply, generation: &Arc<Generation>) {
        match (tag, reply) {
            (Some(tag), Reply::Acquired(_)) => {
                self.lock().insert(tag, generation.clone());
            }
            (Some(tag), Reply::Published | Reply::Done) => {
                self.lock().remove(&tag);
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Generation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same_master(granted: &Arc<Generation>, now: &Arc<Generation>) -> bool {
    if Arc::ptr_eq(granted, now) {
        return true;
    }
    match (granted.master(), now.master()) {
        (Some(granted), Some(now)) => now.continues(granted),
        _ => true,
    }
}

/// The tag of a request that begins or ends a grant.
pub(super) fn tag(request: &Request) -> Option<String> {
    match request {
        Request::Acquire(acquire) => Some(acquire.tag.clone()),
        Request::Publish(publish) => Some(publish.tag.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dspinlock_testkit::Redis;

    use super::*;
    use crate::key::Key;
    use crate::protocol::value::Holder;
    use crate::protocol::{Acquire, Read};
    use crate::rt::blocking::wait;
    use crate::store::redis::RedisStore;
    use crate::store::{Failure, Store};

    #[test]
    fn a_grant_that_no_server_can_be_told_of_has_ended_too() {
        let mut server = Redis::start();
        let store = RedisStore::open(&server.url()).expect("a good URL");
        let known = || store.links.background().grants.lock().len();
        let key = Key::new("dspinlock".into(), [1; 32]);
        let acquire = Request::Acquire(Acquire {
            tag: "tag".into(),
            lease: 10_000,
            max_block: 10_000,
            cached: false,
            fail_if_key_exists: false,
            want_value: false,
            refuse: None,
            stale: None,
            holder: Holder::new(1, "host", "site"),
            bound: 1000,
        });
        assert!(matches!(wait(store.step(&key, acquire)), Ok(Reply::Acquired(_))));
        assert_eq!(known(), 1);
        server.kill();
        dspinlock_testkit::eventually("the end of the connection", || {
            let read = Request::Read(Read {
                shared: false,
                bound: 1,
            });
            matches!(wait(store.step(&key, read)), Err(Failure::NotReady { .. })).then_some(())
        });
        assert!(wait(store.step(&key, Request::Abort { tag: "tag".into() })).is_err());
        assert_eq!(known(), 0);
    }
}
