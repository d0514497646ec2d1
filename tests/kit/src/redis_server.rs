//! A real Redis or Valkey server for one test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection, RedisResult, Value};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::signal;
use crate::port::Port;
use crate::tls::{Certificates, Identity, Tls};
use crate::{eventually, shifted_clock, tool};

/// A running Redis or Valkey server on a free port of 127.0.0.1, without persistence. It is killed on drop.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    args: Vec<String>,
    environment: Vec<(&'static str, String)>,
    port: Port,
    tls: Option<(Port, Certificates)>,
    child: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts Redis 7.
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// Starts Redis 7 with further options, for example `["--requirepass", "secret"]`.
    pub fn with_args(args: &[&str]) -> Self {
        Self::launch("redis-server", args, None)
    }

    /// Starts Valkey 9.
    pub fn valkey() -> Self {
        Self::launch("valkey-server", &[], None)
    }

    /// Starts Valkey 9 with another wall clock, for example `+1h` or `@2261-01-01 00:00:00`. (The allocators of the other
    /// servers do not work with libfaketime.)
    pub fn valkey_at(time: &str) -> Self {
        Self::launch_in("valkey-server", &[], None, shifted_clock(time))
    }

    /// Starts Redis 5, which knows neither users nor RESP3.
    pub fn five() -> Self {
        Self::launch("redis-server-5", &[], None)
    }

    /// Starts Redis 6.2.
    pub fn six() -> Self {
        Self::launch("redis-server-6", &[], None)
    }

    /// Starts Redis 7 with a TLS port; see [`Self::tls_url`] and [`Self::authority`].
    pub fn tls(tls: Tls) -> Self {
        Self::launch("redis-server", &[], Some(tls))
    }

    fn launch(program: &str, args: &[&str], tls: Option<Tls>) -> Self {
        Self::launch_in(program, args, tls, Vec::new())
    }

    fn launch_in(
        program: &str,
        args: &[&str],
        tls: Option<Tls>,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let program = tool(program);
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another program may take the port before the server binds it.
        for _ in 0..10 {
            let port = Port::reserve();
            let mutual = tls.is_some_and(|tls| tls.mutual);
            let tls = tls.map(|tls| (Port::reserve(), Certificates::create(folder.path(), tls)));
            let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
            if tls.is_some() {
                args.extend(["--tls-auth-clients", if mutual { "yes" } else { "no" }].map(Into::into));
            }
            // The kit logs in as this user, whatever a test does to the others.
            if has_users(&program) {
                args.extend(["--user", "kit", "on", "nopass", "~*", "&*", "+@all"].map(Into::into));
            }
            let arguments = arguments(&port, tls.as_ref(), &args);
            if let Some(child) = spawn(&program, &arguments, &environment, folder.path()) {
                let args = arguments;
                return Self {
                    program,
                    args,
                    environment,
                    port,
                    tls,
                    child,
                    folder,
                };
            }
        }
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("cannot start {}: {log}", program.display());
    }

    /// `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// `redis://user:password@127.0.0.1:port`.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port())
    }

    /// `rediss://localhost:port` of a server with TLS.
    pub fn tls_url(&self) -> String {
        format!("rediss://localhost:{}", self.tls_port())
    }

    /// The authority that a client of [`Self::tls_url`] must trust.
    pub fn authority(&self) -> &Path {
        &self.certificates().authority
    }

    /// An authority that did not sign the server's certificate.
    pub fn other_authority(&self) -> &Path {
        &self.certificates().other_authority
    }

    /// A client certificate that a server with [`Tls::mutual`] accepts.
    pub fn client(&self) -> &Identity {
        &self.certificates().client
    }

    /// A client certificate that a server with [`Tls::mutual`] refuses.
    pub fn untrusted_client(&self) -> &Identity {
        &self.certificates().untrusted_client
    }

    pub(crate) fn tls_port(&self) -> u16 {
        let (port, _) = self.tls.as_ref().expect("the server was started with TLS");
        port.number()
    }

    pub(crate) fn certificates(&self) -> &Certificates {
        &self.tls.as_ref().expect("the server was started with TLS").1
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Sends one command as an administrator, without the library under test.
    ///
    /// # Panics
    ///
    /// Panics if the reply is an error.
    pub fn raw<A: AsRef<[u8]>>(&self, command: &[A]) -> Value {
        self.try_raw(command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends one command and returns its reply.
    ///
    /// # Errors
    ///
    /// Fails if the reply is an error, or if the connection fails.
    pub fn try_raw<A: AsRef<[u8]>>(&self, command: &[A]) -> RedisResult<Value> {
        let mut connection = connect(&self.program, self.folder.path())?;
        let mut request = redis::Cmd::new();
        for word in command {
            request.arg(word.as_ref());
        }
        request.query(&mut connection)
    }

    /// The text at `key`, or `None` if the key does not exist.
    pub fn get(&self, key: &str) -> Option<String> {
        self.bytes(key)
            .map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    /// The bytes at `key`, or `None` if the key does not exist.
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        redis::from_redis_value(self.raw(&["GET", key])).expect("the key is a string")
    }

    /// All keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            redis::from_redis_value(self.raw(&["KEYS", "*"])).expect("a list of names");
        keys.sort();
        keys
    }

    /// How often the server was sent `command`, or any command if `None`. Rejected commands count, and those of scripts.
    pub fn command_count(&self, command: Option<&str>) -> u64 {
        let stats: String =
            redis::from_redis_value(self.raw(&["INFO", "commandstats"])).expect("INFO is text");
        let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_"));
        lines
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| command.is_none_or(|command| command.eq_ignore_ascii_case(name)))
            .flat_map(|(_, facts)| facts.split(','))
            .filter_map(|fact| fact.split_once('='))
            .filter(|(name, _)| ["calls", "rejected_calls"].contains(name))
            .map(|(_, count)| count.parse::<u64>().expect("a count"))
            .sum()
    }

    /// Sends SIGSTOP: connections stay open and nothing replies.
    pub fn pause(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Sends SIGKILL and waits until the server has exited. Its data is lost.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills the server and starts an empty one on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.program, &self.args, &self.environment, self.folder.path())
            .expect("the server can be started on its old port");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Redis 5 has no users.
fn has_users(program: &Path) -> bool {
    !program.ends_with("redis-server-5")
}

fn arguments(port: &Port, tls: Option<&(Port, Certificates)>, extra: &[String]) -> Vec<String> {
    let port = port.number().to_string();
    let mut arguments: Vec<String> = [
        ["--port", &port],
        ["--bind", "127.0.0.1"],
        ["--unixsocket", "socket"],
        ["--save", ""],
        ["--appendonly", "no"],
        ["--logfile", "log"],
    ]
    .into_iter()
    .flatten()
    .map(Into::into)
    .collect();
    if let Some((port, files)) = tls {
        arguments.extend(["--tls-port".into(), port.number().to_string()]);
        for (option, file) in files.options() {
            arguments.extend([format!("--{option}"), file.display().to_string()]);
        }
    }
    arguments.extend_from_slice(extra);
    arguments
}

/// Starts a server and waits until it replies; `None` if it exits before.
fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(&str, String)],
    folder: &Path,
) -> Option<Child> {
    let output = || File::create(folder.join("output")).expect("the temporary folder is writable");
    // The socket file of a killed server would look like a running server.
    let _ = fs::remove_file(folder.join("socket"));
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    let alive = eventually("the server to reply", || {
        if child.try_wait().expect("the server is our child").is_some() {
            return Some(false);
        }
        let answer: RedisResult<String> =
            connect(program, folder).and_then(|mut c| redis::cmd("PING").query(&mut c));
        answer.is_ok().then_some(true)
    });
    alive.then_some(child)
}

/// Connects by the unix socket in the server's own folder, which no other server uses.
fn connect(program: &Path, folder: &Path) -> RedisResult<Connection> {
    let login = if has_users(program) {
        "?user=kit&pass=any"
    } else {
        ""
    };
    let client = Client::open(format!("unix://{}{login}", folder.join("socket").display()))?;
    let connection = client.get_connection()?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_any_kind_starts_empty() {
        for server in [
            Redis::start(),
            Redis::valkey(),
            Redis::with_args(&["--requirepass", "secret"]),
            Redis::tls(Tls::default()),
        ] {
            assert!(server.keys().is_empty() && server.port() != 6379);
            server.raw(&["SET", "a", "1"]);
            assert_eq!(server.get("a").as_deref(), Some("1"));
        }
    }

    #[test]
    fn a_restarted_server_is_empty_and_keeps_its_port() {
        let mut server = Redis::start();
        server.raw(&["SET", "a", "1"]);
        let url = server.url();
        server.kill();
        assert!(server.try_raw(&["PING"]).is_err());
        server.restart();
        assert_eq!((server.get("a"), server.url()), (None, url));
    }

    #[test]
    fn a_dropped_server_leaves_neither_socket_nor_port() {
        let server = Redis::start();
        let (port, socket) = (server.port(), server.socket());
        drop(server);
        assert!(!socket.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
