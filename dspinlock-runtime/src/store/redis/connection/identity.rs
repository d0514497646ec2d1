//! Which server a connection leads to, parsed from `INFO`. A failover or a restart gives another identity.

use redis::Value;

use crate::store::redis::wire::reply::Answer;

/// The identity of a server when the connection was opened.
pub(crate) struct ServerIdentity {
    /// The replication ID of a master, which is new after each promotion and each start. `None` for a replica: it has the
    /// ID of its master.
    history: Option<String>,
    /// The ID before the promotion, if the master was a replica.
    previous: Option<String>,
    /// The run ID of the process.
    process: Option<String>,
    /// The program and its version.
    version: Option<String>,
}

impl ServerIdentity {
    /// Parses the replies to `INFO replication` and `INFO server`. `None` if the user may not run `INFO`.
    pub(crate) fn parse(replication: &Answer, server: Option<&Answer>) -> Option<Self> {
        let replication = text(replication)?;
        let history = field(replication, "master_replid")?;
        let is_master = field(replication, "role").as_deref() == Some("master");
        let server = server.and_then(text);
        Some(Self {
            history: is_master.then_some(history),
            previous: field(replication, "master_replid2").filter(|id| id.bytes().any(|digit| digit != b'0')),
            process: server.and_then(|server| field(server, "run_id")),
            version: server.and_then(version),
        })
    }

    /// The run ID of the process.
    pub(crate) fn process(&self) -> Option<&str> {
        self.process.as_deref()
    }

    /// The program and its version, for example `Redis 7.0.15`.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn is_master(&self) -> bool {
        self.history.is_some()
    }

    /// Whether both are one process, as far as it is known.
    pub(crate) fn is_same_process(&self, other: &Self) -> bool {
        self.process == other.process
    }

    /// Whether a connection may stay open after this identity has changed to `later`: a replica may be promoted, but a master
    /// must stay the same.
    pub(crate) fn may_become(&self, later: &Self) -> bool {
        !self.is_master() || later.continues(self)
    }

    /// Whether this server knows every write that `earlier` acknowledged. A master that gets its first replica, or had
    /// none for a long time, takes a new ID but loses nothing: it is the same process and was never promoted.
    pub(crate) fn continues(&self, earlier: &Self) -> bool {
        let (Some(history), Some(other)) = (&self.history, &earlier.history) else {
            return false;
        };
        let same_process = self.process.is_some() && self.process == earlier.process;
        history == other || same_process && self.previous.is_none()
    }

    /// Whether this server was a replica of the other one and has been promoted.
    #[cfg(feature = "cluster")]
    pub(crate) fn succeeds(&self, other: &Self) -> bool {
        self.previous.is_some() && self.previous == other.history
    }
}

fn text(answer: &Answer) -> Option<&str> {
    match answer.as_ref().ok()? {
        Value::VerbatimString { text, .. } => Some(text),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Valkey also states the version of Redis that it is compatible with.
fn version(server: &str) -> Option<String> {
    match field(server, "valkey_version") {
        Some(version) => Some(format!("Valkey {version}")),
        None => Some(format!("Redis {}", field(server, "redis_version")?)),
    }
}

fn field(info: &str, name: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
    info.lines().find_map(value)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn identity(role: &str, id: &str, previous: &str, process: &str) -> ServerIdentity {
        let replication = format!("role:{role}\r\nmaster_replid:{id}\r\nmaster_replid2:{previous}\r\n");
        let server = Ok(Value::BulkString(format!("run_id:{process}\r\n").into()));
        ServerIdentity::parse(&Ok(Value::BulkString(replication.into())), Some(&server)).expect("an identity")
    }

    #[test]
    fn a_master_continues_its_own_history_only() {
        let first = identity("master", "a", "0000", "1");
        assert!(first.continues(&first));
        assert!(
            identity("master", "b", "0000", "1").continues(&first),
            "its first replica"
        );
        assert!(
            !identity("master", "b", "0000", "2").continues(&first),
            "a restart"
        );
        assert!(
            !identity("master", "b", "a", "2").continues(&first),
            "a promotion"
        );
        assert!(
            !identity("slave", "a", "0000", "2").continues(&first),
            "a replica"
        );
    }
}
