//! A master and its replicas.

use redis::from_redis_value;

use crate::{Redis, eventually};

impl Redis {
    /// A server whose replicas need not wait for one another.
    pub fn master() -> Self {
        Self::with(&["--repl-diskless-sync-delay", "0"])
    }

    /// A replica of this server, up to date.
    pub fn replica(&self) -> Self {
        let port = self.port().to_string();
        let replica = Self::with(&[
            "--replicaof",
            "127.0.0.1",
            &port,
            "--repl-diskless-sync-delay",
            "0",
        ]);
        replica.catch_up();
        replica
    }

    /// Waits until this replica has its master's data.
    pub fn catch_up(&self) {
        eventually("a replica that is up to date", || {
            (self.info("replication", "master_link_status").as_deref() == Some("up")).then_some(())
        });
    }

    /// Makes a master of a replica, as a failover does: what it has not yet been told is lost.
    pub fn promote(&self) {
        self.raw(&["REPLICAOF", "NO", "ONE"]);
    }

    /// One field of a section of INFO.
    pub fn info(&self, section: &str, field: &str) -> Option<String> {
        let text: String = from_redis_value(self.raw(&["INFO", section])).expect("INFO is a text");
        let value = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
        text.lines().find_map(value)
    }

    /// What this server has done is done by its replica too.
    pub fn replicated(&self) {
        let replicas: i64 = from_redis_value(self.raw(&["WAIT", "1", "10000"])).expect("a number");
        assert!(replicas >= 1, "no replica listens");
    }
}
