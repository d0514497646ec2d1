//! Real sentinels over a real master and its replica.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, RedisResult, from_redis_value};
use tempfile::TempDir;

use crate::port::Port;
use crate::{Redis, Tls, eventually, tool};

/// A master with one replica, and three sentinels of which two must agree. All are killed when dropped.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Redis>,
    sentinels: Vec<Sentinel>,
    url: String,
    _tls_port: Option<Port>,
}

#[derive(Debug)]
struct Sentinel {
    port: Port,
    child: Child,
    _folder: TempDir,
}

impl Sentinels {
    /// The name of the master.
    pub const NAME: &str = "main";

    /// Starts all of them, and returns when each knows the others.
    pub fn start() -> Self {
        let master = Redis::master();
        let replica = master.replica();
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(master.port(), "")).collect();
        for sentinel in &sentinels {
            eventually("sentinels that know one another", || {
                let known = |field| sentinel.master_field(field);
                let complete = known("num-other-sentinels")? == "2" && known("num-slaves")? == "1";
                complete.then_some(())
            });
        }
        let hosts: Vec<_> = sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port.number()))
            .collect();
        Self {
            servers: vec![master, replica],
            sentinels,
            url: format!("redis+sentinel://{}/{}", hosts.join(","), Self::NAME),
            _tls_port: None,
        }
    }

    /// One sentinel over a master alone; both want passwords, of each its own.
    pub fn with_passwords(sentinel: &str, server: &str) -> Self {
        let master = Redis::with(&["--requirepass", server]);
        let options = format!(
            "requirepass {sentinel}\nsentinel auth-pass {} {server}\n",
            Self::NAME
        );
        let guard = Sentinel::start(master.port(), &options);
        let host = format!("127.0.0.1:{}", guard.port.number());
        let query = format!("sentinel_password={sentinel}");
        Self {
            servers: vec![master],
            sentinels: vec![guard],
            url: format!("redis+sentinel://:{server}@{host}/{}?{query}", Self::NAME),
            _tls_port: None,
        }
    }

    /// One sentinel over a master alone, which both speak TLS and show the same certificate. See [`Redis::authority`].
    pub fn tls() -> Self {
        let (master, port) = (Redis::tls(Tls::default()), Port::hold());
        let mut options = format!("tls-port {}\n", port.number());
        options.push_str("tls-auth-clients no\ntls-replication yes\n");
        for (option, file) in master.certificates().options() {
            options.push_str(&format!("{option} {}\n", file.display()));
        }
        let guard = Sentinel::start(master.tls_port(), &options);
        let url = format!("rediss+sentinel://127.0.0.1:{}/{}", port.number(), Self::NAME);
        Self {
            servers: vec![master],
            sentinels: vec![guard],
            url,
            _tls_port: Some(port),
        }
    }

    /// `redis+sentinel://127.0.0.1:port,127.0.0.1:port,127.0.0.1:port/main`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The master and the replica.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The server that the sentinels name now.
    pub fn master(&mut self) -> &mut Redis {
        let port = self.master_port();
        let found = self.servers.iter_mut().find(|server| server.port() == port);
        found.expect("the master is one of ours")
    }

    /// Waits until all sentinels name another master than the one on `old`; returns how long that took.
    pub fn failed_over(&self, old: u16) -> Duration {
        let start = Instant::now();
        for sentinel in &self.sentinels {
            eventually("a failover", || {
                sentinel.master_port().filter(|port| *port != old)
            });
        }
        start.elapsed()
    }

    /// Has the sentinels change the master though nothing is wrong.
    pub fn fail_over(&self) {
        self.sentinels[0]
            .ask::<()>(&["SENTINEL", "FAILOVER", Self::NAME])
            .expect("a failover begins");
    }

    /// Kills one of the sentinels that are left, the first that clients ask.
    pub fn kill(&mut self) {
        self.sentinels.remove(0);
    }

    fn master_port(&self) -> u16 {
        let mut ports = self.sentinels.iter().filter_map(Sentinel::master_port);
        ports.next().expect("a sentinel answers")
    }
}

impl Sentinel {
    fn start(master: u16, options: &str) -> Self {
        let (port, folder) = (
            Port::hold(),
            tempfile::tempdir().expect("a folder for the sentinel"),
        );
        let name = Sentinels::NAME;
        let config = format!(
            "port {}\nbind 127.0.0.1\nlogfile log\n\
             sentinel monitor {name} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {name} 600\n\
             sentinel failover-timeout {name} 3000\n{options}",
            port.number()
        );
        let path = folder.path().join("sentinel.conf");
        fs::write(&path, config).expect("the test's folder is writable");
        let output = || File::create(folder.path().join("output")).expect("the test's folder is writable");
        let child = Command::new(tool("redis-server"))
            .arg(&path)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()
            .expect("a sentinel starts");
        let sentinel = Self {
            port,
            child,
            _folder: folder,
        };
        eventually("a sentinel that answers", || {
            std::net::TcpStream::connect(("127.0.0.1", sentinel.port.number())).ok()
        });
        sentinel
    }

    fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = Client::open(("127.0.0.1", self.port.number()))?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        from_redis_value(command.query(&mut connection)?).map_err(Into::into)
    }

    fn master_port(&self) -> Option<u16> {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::NAME];
        let (_, port): (String, u16) = self.ask(&words).ok()?;
        Some(port)
    }

    fn master_field(&self, name: &str) -> Option<String> {
        let fields: Vec<(String, String)> = self.ask(&["SENTINEL", "MASTER", Sentinels::NAME]).ok()?;
        fields
            .into_iter()
            .find_map(|(field, value)| (field == name).then_some(value))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
