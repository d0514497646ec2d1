//! A real Redis or Valkey server.

use std::collections::HashSet;

use bytes::Bytes;
use dspinlock_runtime::internals::clock::Instant;
use dspinlock_runtime::internals::key::Key;
use dspinlock_runtime::internals::protocol::record::Entry;
use dspinlock_runtime::internals::protocol::{Reply, Request};
use dspinlock_runtime::internals::store::Store;
use dspinlock_runtime::internals::store::redis::RedisStore;
use redis::{Client, Connection, cmd, pipe};
use tokio::runtime::Runtime;

use super::{Foreign, Rig};

/// A server and a second connection to it. The server's clock cannot be advanced, so [`Rig::advance`] shortens the
/// expiry of all entries. Every second request is the look of a waiter.
pub(crate) struct Redis {
    store: RedisStore,
    runtime: Runtime,
    connection: Connection,
    names: HashSet<String>,
    /// The next request is the look of a waiter: its script reads first.
    is_look: bool,
    /// The server is killed on drop.
    _server: dspinlock_testkit::Redis,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::on(dspinlock_testkit::Redis::start())
    }

    pub(crate) fn six() -> Self {
        Self::on(dspinlock_testkit::Redis::six())
    }

    pub(crate) fn five() -> Self {
        Self::on(dspinlock_testkit::Redis::five())
    }

    pub(crate) fn valkey() -> Self {
        Self::on(dspinlock_testkit::Redis::valkey())
    }

    /// Valkey with another wall clock.
    pub(crate) fn valkey_at(time: &str) -> Self {
        Self::on(dspinlock_testkit::Redis::valkey_at(time))
    }

    fn on(server: dspinlock_testkit::Redis) -> Self {
        let connection = Client::open(server.url()).and_then(|client| client.get_connection());
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            store: RedisStore::open(&server.url()).expect("the store opens"),
            runtime: runtime.expect("a runtime"),
            connection: connection.expect("a second connection opens"),
            names: HashSet::new(),
            is_look: false,
            _server: server,
        }
    }

    /// The expiry of an entry, in milliseconds since 1970. (Redis 5 and 6 do not know PEXPIRETIME.)
    fn until(&mut self, name: &str) -> Option<u64> {
        loop {
            let (before, left, after): ((u64, u64), i64, (u64, u64)) = pipe()
                .atomic()
                .cmd("TIME")
                .cmd("PTTL")
                .arg(name)
                .cmd("TIME")
                .query(&mut self.connection)
                .expect("a reply to TIME and PTTL");
            // -1: no expiry; -2: no such key.
            let left = u64::try_from(left).ok()?;
            let [before, after] = [before, after].map(|(seconds, micros)| seconds * 1000 + micros / 1000);
            if before == after {
                return Some(before + left);
            }
        }
    }

    fn content(&mut self, name: &str) -> Entry {
        let kind: String = cmd("TYPE")
            .arg(name)
            .query(&mut self.connection)
            .expect("a reply to TYPE");
        match kind.as_str() {
            "none" => Entry::Absent,
            "string" => {
                let bytes: Vec<u8> = cmd("GET")
                    .arg(name)
                    .query(&mut self.connection)
                    .expect("a reply to GET");
                Entry::Bytes {
                    bytes: Bytes::from(bytes),
                    until: self.until(name),
                }
            }
            _ => Entry::WrongType,
        }
    }
}

impl Rig for Redis {
    fn step(&mut self, key: &Key, request: Request) -> Reply {
        self.names.insert(key.name());
        self.is_look = !self.is_look;
        let (store, since) = (&self.store, Instant::now());
        let reply = match self.is_look {
            true => self
                .runtime
                .block_on(store.step_watched(key, request, since))
                .map(|(reply, _)| reply),
            false => self.runtime.block_on(store.step(key, request, since)),
        };
        reply.expect("the server replies")
    }

    fn put(&mut self, key: &Key, content: &Foreign) {
        let name = key.name();
        let mut commands = pipe();
        commands.cmd("DEL").arg(&name);
        match content {
            Foreign::Nothing => {}
            Foreign::WrongType => drop(commands.cmd("RPUSH").arg(&name).arg("item")),
            Foreign::Bytes(bytes, left) => {
                commands.cmd("SET").arg(&name).arg(bytes.as_ref());
                if let Some(left) = left {
                    commands.arg("PX").arg(*left);
                }
            }
        }
        commands
            .exec(&mut self.connection)
            .expect("a write without the store");
        self.names.insert(name);
    }

    fn entry(&mut self, key: &Key) -> Entry {
        self.content(&key.name())
    }

    fn now(&mut self) -> u64 {
        let (seconds, micros): (u64, u64) = cmd("TIME").query(&mut self.connection).expect("a reply to TIME");
        seconds * 1_000_000 + micros
    }

    fn advance(&mut self, milliseconds: u64) {
        for name in self.names.clone() {
            if let Some(until) = self.until(&name) {
                cmd("PEXPIREAT")
                    .arg(name)
                    .arg(until.saturating_sub(milliseconds))
                    .exec(&mut self.connection)
                    .expect("a reply to PEXPIREAT");
            }
        }
    }

    fn clear(&mut self) {
        cmd("FLUSHALL")
            .exec(&mut self.connection)
            .expect("a reply to FLUSHALL");
        self.names.clear();
    }

    fn is_exact(&self) -> bool {
        false
    }
}
