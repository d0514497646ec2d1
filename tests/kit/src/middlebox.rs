//! Real proxies before a Redis server: twemproxy and HAProxy.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::port::Port;
use crate::{eventually, tool};

/// twemproxy (`nutcracker`), which forwards the commands of keys and closes a connection that sends another one.
#[derive(Debug)]
pub struct Twemproxy(Program);

impl Twemproxy {
    /// Starts a proxy to the server on `port`.
    pub fn start(port: u16) -> Self {
        Self(Program::start("nutcracker", |own, statistics, folder| {
            let configuration = format!(
                "pool:\n  listen: 127.0.0.1:{own}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  servers:\n   - 127.0.0.1:{port}:1\n"
            );
            let file = write(folder, &configuration);
            let statistics = statistics.to_string();
            ["-c", &file, "-a", "127.0.0.1", "-s", &statistics]
                .map(Into::into)
                .into()
        }))
    }

    /// `redis://127.0.0.1:port` of the proxy.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

/// HAProxy in TCP mode.
#[derive(Debug)]
pub struct Haproxy(Program);

impl Haproxy {
    /// Starts a proxy to the server on `port`. It closes a connection that is idle for this time.
    pub fn start(port: u16, idle: Duration) -> Self {
        Self(Program::start("haproxy", |own, _, folder| {
            let idle = idle.as_millis();
            let configuration = format!(
                "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client {idle}ms\n  timeout server {idle}ms\nlisten redis\n  bind 127.0.0.1:{own}\n  server redis 127.0.0.1:{port}\n"
            );
            vec!["-db".into(), "-f".into(), write(folder, &configuration)]
        }))
    }

    /// `redis://127.0.0.1:port` of the proxy.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn write(folder: &Path, configuration: &str) -> String {
    let file = folder.join("configuration");
    fs::write(&file, configuration).expect("the temporary folder is writable");
    file.display().to_string()
}

/// A running proxy. It is killed on drop.
#[derive(Debug)]
struct Program {
    port: Port,
    _statistics: Port,
    child: Child,
    _folder: TempDir,
}

impl Program {
    /// `arguments` gets the port, a second port and a folder.
    fn start(name: &str, arguments: impl Fn(u16, u16, &Path) -> Vec<String>) -> Self {
        let (port, statistics) = (Port::reserve(), Port::reserve());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = Command::new(tool(name))
            .args(arguments(port.number(), statistics.number(), folder.path()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let proxy = Self {
            port,
            _statistics: statistics,
            child,
            _folder: folder,
        };
        eventually("the proxy to listen", || {
            TcpStream::connect(("127.0.0.1", proxy.port.number())).ok()
        });
        proxy
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port.number())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
