//! Replication: a master and its replicas.

use redis::from_redis_value;

use crate::{Redis, eventually};

impl Redis {
    /// Starts a server that synchronizes a replica without delay.
    pub fn master() -> Self {
        Self::with_args(&["--repl-diskless-sync-delay", "0"])
    }

    /// Starts a replica of this server and waits until it is synchronized.
    pub fn replica(&self) -> Self {
        let port = self.port().to_string();
        let replica = Self::with_args(&[
            "--replicaof",
            "127.0.0.1",
            &port,
            "--repl-diskless-sync-delay",
            "0",
        ]);
        replica.wait_synced();
        replica
    }

    /// Waits until this replica is synchronized with its master.
    pub fn wait_synced(&self) {
        eventually("the replica to synchronize", || {
            (self.info("replication", "master_link_status").as_deref() == Some("up")).then_some(())
        });
    }

    /// Promotes this replica, as a failover does. Writes that were not replicated are lost.
    pub fn promote(&self) {
        self.raw(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Returns one field of a section of INFO.
    pub fn info(&self, section: &str, field: &str) -> Option<String> {
        let text: String = from_redis_value(self.raw(&["INFO", section])).expect("INFO is text");
        let value = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
        text.lines().find_map(value)
    }

    /// Waits until a replica has all writes of this server.
    pub fn wait_replicated(&self) {
        let replicas: i64 = from_redis_value(self.raw(&["WAIT", "1", "10000"])).expect("a number");
        assert!(replicas >= 1, "no replica acknowledged");
    }
}
