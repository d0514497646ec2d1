//! A real Redis Cluster: three masters, each with a replica.

use std::path::Path;
use std::time::{Duration, Instant};

use redis::{Value, from_redis_value};
use tempfile::TempDir;

use crate::port::Port;
use crate::tls::Certificates;
use crate::{Redis, Tls, eventually};

/// Six servers on free ports. They are killed on drop.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Redis>,
    /// The ports of the cluster bus, reserved while the servers run.
    buses: Vec<Port>,
    ids: Vec<String>,
    /// The index of the server that was killed or paused. It is not queried.
    down: Option<usize>,
    secure: Option<Secure>,
}

/// The certificates and ports of a cluster with TLS.
#[derive(Debug)]
struct Secure {
    _folder: TempDir,
    certificates: Certificates,
    ports: Vec<Port>,
}

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

impl Cluster {
    /// Starts the servers. Returns when all know each other and every replica is synchronized.
    pub fn start() -> Self {
        Self::launch(None)
    }

    /// Starts a cluster whose servers have TLS ports; see [`Self::tls_url`].
    pub fn tls() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::launch(Some(Secure {
            certificates: Certificates::create(folder.path(), Tls::default()),
            _folder: folder,
            ports: (0..2 * MASTERS).map(|_| Port::reserve()).collect(),
        }))
    }

    fn launch(secure: Option<Secure>) -> Self {
        let buses: Vec<Port> = (0..2 * MASTERS).map(|_| Port::reserve()).collect();
        let servers: Vec<Redis> = buses
            .iter()
            .enumerate()
            .map(|(at, bus)| server(bus, secure.as_ref().map(|secure| secure.options(at))))
            .collect();
        let ids: Vec<String> = servers
            .iter()
            .map(|server| text(server, &["CLUSTER", "MYID"]))
            .collect();
        for (at, server) in servers.iter().enumerate() {
            server.raw(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        for (at, master) in servers.iter().take(MASTERS).enumerate() {
            let (first, end) = (at * SLOTS / MASTERS, (at + 1) * SLOTS / MASTERS);
            master.raw(&[
                "CLUSTER",
                "ADDSLOTSRANGE",
                &first.to_string(),
                &(end - 1).to_string(),
            ]);
        }
        let down = None;
        let cluster = Self {
            servers,
            buses,
            ids,
            down,
            secure,
        };
        cluster.wait_for_all("the nodes to know each other", |server| {
            let is_known = state(server, "cluster_known_nodes").as_deref() == Some("6");
            if !is_known {
                // A handshake that takes longer than the node timeout is dropped.
                cluster.meet();
            }
            is_known
        });
        for (at, replica) in cluster.servers.iter().enumerate().skip(MASTERS) {
            let master = &cluster.ids[at - MASTERS];
            eventually("the replica to know its master", || {
                replica.try_raw(&["CLUSTER", "REPLICATE", master]).ok()
            });
        }
        cluster.wait_for_all("the cluster to be up", |server| {
            state(server, "cluster_state").as_deref() == Some("ok")
        });
        cluster.servers[MASTERS..].iter().for_each(Redis::wait_synced);
        // A failover needs masters that know the replica.
        cluster.wait_for_all("every node to know the replicas", |server| {
            text(server, &["CLUSTER", "NODES"]).matches("slave").count() == MASTERS
        });
        cluster
    }

    /// Makes the first node send a handshake to every other node.
    fn meet(&self) {
        for (server, bus) in self.servers.iter().zip(&self.buses).skip(1) {
            let (port, bus) = (server.port().to_string(), bus.number().to_string());
            self.servers[0].raw(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
    }

    fn wait_for_all(&self, what: &str, is_true: impl Fn(&Redis) -> bool) {
        for server in &self.servers {
            eventually(what, || is_true(server).then_some(()));
        }
    }

    /// `redis+cluster://127.0.0.1:port,127.0.0.1:port`, with two of the masters.
    pub fn url(&self) -> String {
        let [one, two] = [0, 1].map(|at: usize| self.servers[at].port());
        format!("redis+cluster://127.0.0.1:{one},127.0.0.1:{two}")
    }

    /// `rediss+cluster://127.0.0.1:port,127.0.0.1:port` of a cluster with TLS. It names no authority.
    pub fn tls_url(&self) -> String {
        let ports = &self.secure().ports;
        let [one, two] = [0, 1].map(|at: usize| ports[at].number());
        format!("rediss+cluster://127.0.0.1:{one},127.0.0.1:{two}")
    }

    /// The authority that a client of [`Self::tls_url`] must trust.
    pub fn authority(&self) -> &Path {
        &self.secure().certificates.authority
    }

    fn secure(&self) -> &Secure {
        self.secure.as_ref().expect("the cluster was started with TLS")
    }

    /// The three masters, then their replicas.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Kills a server.
    pub fn kill(&mut self, at: usize) {
        self.servers[at].kill();
        self.down = Some(at);
    }

    /// Sends SIGSTOP to a server.
    pub fn pause(&mut self, at: usize) {
        self.servers[at].pause();
        self.down = Some(at);
    }

    fn running(&self) -> impl Iterator<Item = &Redis> {
        let all = self.servers.iter().enumerate();
        all.filter_map(|(at, server)| (self.down != Some(at)).then_some(server))
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> usize {
        let server = self.running().next().expect("a running node");
        from_redis_value(server.raw(&["CLUSTER", "KEYSLOT", key])).expect("a number")
    }

    /// The index of the server that owns a slot, according to a running node.
    pub fn owner(&self, slot: usize) -> usize {
        let server = self.running().next().expect("a running node");
        let port = owner_by(server, slot).expect("a node owns the slot");
        let found = self.servers.iter().position(|server| server.port() == port);
        found.expect("the owner is a server of the cluster")
    }

    /// The names of all entries in the cluster, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut names: Vec<_> = self.running().flat_map(Redis::keys).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Waits until every running node reports an owner of the slot other than `old`. Returns the elapsed time.
    pub fn wait_failed_over(&self, slot: usize, old: usize) -> Duration {
        let start = Instant::now();
        let port = self.servers[old].port();
        for server in self.running() {
            eventually("the failover", || {
                let up = state(server, "cluster_state").as_deref() == Some("ok");
                (up && owner_by(server, slot)? != port).then_some(())
            });
        }
        start.elapsed()
    }

    /// Fails a healthy master over to its replica. Returns the index of the replica.
    pub fn fail_over(&self, master: usize) -> usize {
        let id = &self.ids[master];
        let is_replica = |server: &Redis| {
            let myself = text(server, &["CLUSTER", "NODES"]);
            myself
                .lines()
                .any(|line| line.contains("myself,slave") && line.contains(id))
        };
        let replica = self.servers.iter().position(is_replica).expect("a replica");
        self.servers[replica].raw(&["CLUSTER", "FAILOVER"]);
        eventually("the replica to become master", || {
            let nodes = text(&self.servers[replica], &["CLUSTER", "NODES"]);
            nodes.contains("myself,master").then_some(())
        });
        // The votes may have marked the cluster as down for a moment.
        eventually("each node to serve again", || {
            let serves = |server: &Redis| state(server, "cluster_state").as_deref() == Some("ok");
            self.servers.iter().all(serves).then_some(())
        });
        replica
    }

    /// Starts the migration of a slot: existing keys stay on the source, new keys go to the target.
    pub fn start_migration(&self, slot: usize, from: usize, to: usize) {
        let slot = slot.to_string();
        self.servers[to].raw(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]);
        self.servers[from].raw(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]);
    }

    /// Migrates all keys of a slot.
    pub fn migrate_keys(&self, slot: usize, from: usize, to: usize) {
        let port = self.servers[to].port().to_string();
        loop {
            let keys = self.servers[from].raw(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1"]);
            let keys: Vec<String> = from_redis_value(keys).expect("a list of names");
            let Some(key) = keys.first() else { return };
            let command = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
            // As the user of the kit, whatever a test does to the others.
            let login = ["AUTH2", "kit", "any"];
            self.servers[from].raw(&[&command[..], &login].concat());
        }
    }

    /// Finishes the migration of a slot: all masters learn the new owner.
    pub fn finish_migration(&self, slot: usize, from: usize, to: usize) {
        // The new owner learns it first. Otherwise the slot has no owner for a moment.
        let others = (0..MASTERS).filter(|at| ![from, to].contains(at));
        for at in [to, from].into_iter().chain(others) {
            self.servers[at].raw(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &self.ids[to]]);
        }
    }

    /// Closes every client connection to every node.
    pub fn disconnect(&self) {
        for server in &self.servers {
            server.raw(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    }
}

impl Secure {
    fn options(&self, at: usize) -> Vec<String> {
        let port = self.ports[at].number().to_string();
        // Redis 7.0 announces TLS ports only if the nodes use TLS among themselves.
        let fixed = [
            "--tls-port",
            &port,
            "--tls-auth-clients",
            "no",
            "--tls-cluster",
            "yes",
            "--tls-replication",
            "yes",
        ];
        let mut options: Vec<String> = fixed.map(Into::into).into();
        for (option, file) in self.certificates.options() {
            options.extend([format!("--{option}"), file.display().to_string()]);
        }
        options
    }
}

fn server(bus: &Port, more: Option<Vec<String>>) -> Redis {
    let bus = bus.number().to_string();
    let mut options = vec![
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        "1000",
        "--cluster-replica-validity-factor",
        "0",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let more = more.unwrap_or_default();
    options.extend(more.iter().map(String::as_str));
    Redis::with_args(&options)
}

fn text(server: &Redis, command: &[&str]) -> String {
    from_redis_value(server.raw(command)).expect("text")
}

fn state(server: &Redis, field: &str) -> Option<String> {
    let text: String = from_redis_value(server.try_raw(&["CLUSTER", "INFO"]).ok()?).expect("text");
    let value = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
    text.lines().find_map(value)
}

fn owner_by(server: &Redis, slot: usize) -> Option<u16> {
    let Value::Array(ranges) = server.try_raw(&["CLUSTER", "SLOTS"]).ok()? else {
        return None;
    };
    ranges.into_iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
            return None;
        };
        let slot = i64::try_from(slot).ok()?;
        let Value::Int(port) = master.get(1)? else {
            return None;
        };
        (*first <= slot && slot <= *last).then(|| u16::try_from(*port).expect("a port"))
    })
}
