//! Real sentinels over a real master and its replica.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, RedisResult, from_redis_value};
use tempfile::TempDir;

use crate::port::Port;
use crate::{Redis, Tls, eventually, tool};

/// A master with one replica, and three sentinels with a quorum of two. All are killed on drop.
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

    /// Starts all servers. Returns when the sentinels know each other.
    pub fn start() -> Self {
        let master = Redis::master();
        let replica = master.replica();
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(master.port(), "")).collect();
        for sentinel in &sentinels {
            eventually("the sentinels to know each other", || {
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

    /// Starts one sentinel and a master without replica. Each requires its own password.
    pub fn with_passwords(sentinel: &str, server: &str) -> Self {
        let master = Redis::with_args(&["--requirepass", server]);
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

    /// Starts one sentinel and a master without replica. Both use TLS with the same certificate; see [`Redis::authority`].
    pub fn tls() -> Self {
        let (master, port) = (Redis::tls(Tls::default()), Port::reserve());
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

    /// The master, then the replica.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The current master, according to the sentinels.
    pub fn master(&mut self) -> &mut Redis {
        let port = self.master_port();
        let found = self.servers.iter_mut().find(|server| server.port() == port);
        found.expect("the master is a server of this fixture")
    }

    /// Waits until all sentinels name a master other than the one on port `old`. Returns the elapsed time.
    pub fn wait_failed_over(&self, old: u16) -> Duration {
        let start = Instant::now();
        for sentinel in &self.sentinels {
            eventually("the failover", || {
                sentinel.master_port().filter(|port| *port != old)
            });
        }
        start.elapsed()
    }

    /// Makes the sentinels fail over a healthy master.
    pub fn fail_over(&self) {
        self.sentinels[0]
            .query::<()>(&["SENTINEL", "FAILOVER", Self::NAME])
            .expect("the failover starts");
    }

    /// Kills the first of the remaining sentinels, which clients query first.
    pub fn kill_sentinel(&mut self) {
        self.sentinels.remove(0);
    }

    fn master_port(&self) -> u16 {
        let mut ports = self.sentinels.iter().filter_map(Sentinel::master_port);
        ports.next().expect("a sentinel replies")
    }
}

impl Sentinel {
    fn start(master: u16, options: &str) -> Self {
        let (port, folder) = (Port::reserve(), tempfile::tempdir().expect("a temporary folder"));
        let name = Sentinels::NAME;
        let config = format!(
            "port {}\nbind 127.0.0.1\nlogfile log\n\
             sentinel monitor {name} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {name} 600\n\
             sentinel failover-timeout {name} 3000\n{options}",
            port.number()
        );
        let path = folder.path().join("sentinel.conf");
        fs::write(&path, config).expect("the temporary folder is writable");
        let output = || File::create(folder.path().join("output")).expect("the temporary folder is writable");
        let child = Command::new(tool("redis-server"))
            .arg(&path)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()
            .expect("the sentinel can be started");
        let sentinel = Self {
            port,
            child,
            _folder: folder,
        };
        eventually("the sentinel to accept connections", || {
            std::net::TcpStream::connect(("127.0.0.1", sentinel.port.number())).ok()
        });
        sentinel
    }

    fn query<T: redis::FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = Client::open(("127.0.0.1", self.port.number()))?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        from_redis_value(command.query(&mut connection)?).map_err(Into::into)
    }

    fn master_port(&self) -> Option<u16> {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::NAME];
        let (_, port): (String, u16) = self.query(&words).ok()?;
        Some(port)
    }

    fn master_field(&self, name: &str) -> Option<String> {
        let fields: Vec<(String, String)> = self.query(&["SENTINEL", "MASTER", Sentinels::NAME]).ok()?;
        fields
            .into_iter()
            .find_map(|(field, value)| (field == name).then_some(value))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Fails only if it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
