//! Stands between a client and a server: counts round trips, stalls, cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// A TCP proxy on a free port of 127.0.0.1.
///
/// A round trip is what a client sends before it is answered: a pipeline is one, a command that waits for the answer to
/// another is a second. Health checks (`PING` alone) are not counted.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    server: u16,
    trips: Vec<Vec<String>>,
    open: Vec<TcpStream>,
    connections: usize,
    requests_stalled: bool,
    replies_stalled: bool,
    delay: Duration,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the proxy panicked")
    }

    fn pass(&self, stalled: impl Fn(&State) -> bool) {
        let state = self.state();
        drop(
            self.changed
                .wait_while(state, |state| stalled(state) && !state.closed),
        );
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

impl Proxy {
    /// Stands before the server on `port`.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let own = listener.local_addr().expect("a bound address").port();
        let shared = Arc::<Shared>::default();
        shared.set(|state| state.server = port);
        let threads = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (closed, port) = {
                    let state = threads.state();
                    (state.closed, state.server)
                };
                if closed {
                    return;
                }
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    serve(client, server, &threads);
                }
            }
        });
        Self { port: own, shared }
    }

    /// `redis://127.0.0.1:port` of the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The proxy's own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stands before another server from now on: new connections lead there.
    pub fn turn_to(&self, port: u16) {
        self.shared.set(|state| state.server = port);
    }

    /// Forgets what was counted.
    pub fn reset(&self) {
        self.shared.set(|state| state.trips.clear());
    }

    /// The round trips since the last reset: the names of the commands in each.
    pub fn trips(&self) -> Vec<Vec<String>> {
        let state = self.shared.state();
        let counted = |trip: &&Vec<String>| trip.iter().any(|command| command != "PING");
        state.trips.iter().filter(counted).cloned().collect()
    }

    /// How many connections were made since the start.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Keeps back requests and replies, with all connections open.
    pub fn stall(&self) {
        self.shared.set(|state| {
            state.requests_stalled = true;
            state.replies_stalled = true;
        });
    }

    /// Keeps back replies only: the server does what it is asked, and the client does not learn of it.
    pub fn stall_replies(&self) {
        self.shared.set(|state| state.replies_stalled = true);
    }

    /// Lets through what was kept back, and all that follows.
    pub fn resume(&self) {
        self.shared.set(|state| {
            state.requests_stalled = false;
            state.replies_stalled = false;
        });
    }

    /// Makes every reply come so much later.
    pub fn delay(&self, delay: Duration) {
        self.shared.set(|state| state.delay = delay);
    }

    /// Breaks every open connection; new ones are taken.
    pub fn cut(&self) {
        self.shared.set(|state| {
            for stream in state.open.drain(..) {
                // Fails where the peer was first.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(|state| state.closed = true);
        self.cut();
        // Wakes the listener, which then sees that it is closed.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP stream");
    }
    let twin = |stream: &TcpStream| stream.try_clone().expect("a stream can be cloned");
    shared.set(|state| {
        state.connections += 1;
        state.open.extend([twin(&client), twin(&server)]);
    });
    let answered = Arc::new(Mutex::new(true));
    let (requests, waiting) = (shared.clone(), answered.clone());
    let (from, to) = (twin(&client), twin(&server));
    thread::spawn(move || {
        pump(from, to, |bytes| {
            let mut answered = waiting.lock().expect("no thread of the proxy panicked");
            let mut state = requests.state();
            if std::mem::replace(&mut *answered, false) {
                state.trips.push(Vec::new());
            }
            state
                .trips
                .last_mut()
                .into_iter()
                .for_each(|trip| trip.extend(commands(bytes)));
            drop((state, answered));
            requests.pass(|state| state.requests_stalled);
        });
    });
    let replies = shared.clone();
    thread::spawn(move || {
        pump(server, client, |_| {
            thread::sleep(replies.state().delay);
            replies.pass(|state| state.replies_stalled);
            *answered.lock().expect("no thread of the proxy panicked") = true;
        });
    });
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        before(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Fails where the other direction, or a cut, was first.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The names of the commands that begin in these bytes.
fn commands(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = bytes;
    while let Some((b'*', count)) = header(&mut rest) {
        for at in 0..count {
            let Some((b'$', length)) = header(&mut rest) else {
                return names;
            };
            if at == 0 {
                names.push(String::from_utf8_lossy(&rest[..length.min(rest.len())]).to_uppercase());
            }
            rest = rest.get(length + 2..).unwrap_or_default();
        }
    }
    names
}

/// `*3⏎` or `$5⏎`.
fn header(rest: &mut &[u8]) -> Option<(u8, usize)> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let (kind, number) = rest[..end].split_first()?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    let kind = *kind;
    *rest = &rest[end + 2..];
    Some((kind, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Redis;

    #[test]
    fn a_pipeline_is_one_trip_and_two_commands_are_two() {
        let server = Redis::start();
        let proxy = Proxy::before(server.port());
        let client = redis::Client::open(proxy.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        proxy.reset();
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("SET")
            .arg("a")
            .arg("x\r\n*1\r\n")
            .cmd("GET")
            .arg("a");
        let _: redis::Value = pipeline.query(&mut connection).unwrap();
        let _: redis::Value = redis::cmd("PING").query(&mut connection).unwrap();
        let _: redis::Value = redis::cmd("get").arg("a").query(&mut connection).unwrap();
        assert_eq!(proxy.trips(), [vec!["SET", "GET"], vec!["GET"]]);
        assert_eq!(proxy.connections(), 1);
    }

    #[test]
    fn a_stalled_reply_comes_later_and_a_cut_connection_ends() {
        let server = Redis::start();
        let proxy = Proxy::before(server.port());
        let mut connection = redis::Client::open(proxy.url())
            .unwrap()
            .get_connection()
            .unwrap();
        proxy.stall_replies();
        let later = thread::spawn(move || {
            let reply: redis::RedisResult<String> =
                redis::cmd("SET").arg("a").arg("1").query(&mut connection);
            (reply, connection)
        });
        crate::eventually("the command to arrive", || server.get("a"));
        assert!(!later.is_finished());
        proxy.resume();
        let (reply, mut connection) = later.join().unwrap();
        assert_eq!(reply.unwrap(), "OK");
        proxy.cut();
        assert!(redis::cmd("PING").query::<redis::Value>(&mut connection).is_err());
    }
}
