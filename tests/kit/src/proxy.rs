//! A proxy between a client and a server. It parses RESP, counts round trips, and stalls, drops, delays or disconnects what
//! a test selects.

mod flow;
pub(crate) mod rules;
mod state;
mod types;
pub(crate) mod wire;

pub use self::types::{Action, Stage};

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use self::state::{Delay, Open, Shared, State};
use self::types::End;
use crate::TEST_TIMEOUT;

/// A TCP proxy on a free port of 127.0.0.1.
///
/// A round trip is everything that a client sends before it receives a reply: a pipeline is one round trip. Health checks
/// (`PING` alone) do not count.
///
/// A step is a command, by its name, or a script of the library: `ACQUIRE`, `RENEW`, `PUBLISH`, `ABORT` or `DELETE`.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts a proxy to the server on `port`.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of the loopback address");
        let own = listener.local_addr().expect("a bound address").port();
        let shared = Arc::<Shared>::default();
        shared.set(|state| state.server = port);
        let threads = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (closed, refused, port) = {
                    let mut state = threads.state();
                    state.attempts += 1;
                    (state.closed, state.is_full(), state.server)
                };
                if closed {
                    return;
                }
                // The drop of a refused connection closes it.
                if !refused && let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    flow::serve(client, server, &threads);
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

    /// Connects new connections to the server on `port`.
    pub fn redirect_to(&self, port: u16) {
        self.shared.set(|state| state.server = port);
    }

    /// Clears the recorded round trips.
    pub fn clear_round_trips(&self) {
        self.shared.set(|state| state.trips.clear());
    }

    /// The round trips since [`Self::clear_round_trips`]: the names of the commands in each. The setup and the checks of
    /// connections do not count, because they happen at any time.
    pub fn round_trips(&self) -> Vec<Vec<String>> {
        const OF_CONNECTIONS: [&str; 7] = ["PING", "INFO", "HELLO", "AUTH", "SELECT", "CLIENT", "SCRIPT"];
        let state = self.shared.state();
        let counted = |trip: &&Vec<String>| {
            trip.iter()
                .any(|command| !OF_CONNECTIONS.contains(&command.as_str()))
        };
        state.trips.iter().filter(counted).cloned().collect()
    }

    /// The number of connections since the start.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// The bytes of all replies and pushes since the start.
    pub fn bytes_replied(&self) -> usize {
        self.shared.state().replied
    }

    /// The number of attempts to connect since the start. An attempt fails while the server is away.
    pub fn attempts(&self) -> usize {
        self.shared.state().attempts
    }

    /// The number of requests for this step since the start.
    pub fn requests(&self, step: &str) -> usize {
        self.shared.state().rules.requests(step)
    }

    /// The bytes of the last request for this step.
    pub fn last_request(&self, step: &str) -> Option<Vec<u8>> {
        self.shared.state().rules.last_request(step)
    }

    /// Intercepts the next occurrence of this step. One step at a time is intercepted.
    pub fn intercept(&self, step: &str, stage: Stage, action: Action) {
        self.shared
            .set(|state| state.rules.intercept(step, stage, action, 1));
    }

    /// Disconnects at the next occurrences of this step, so often.
    pub fn disconnect_at(&self, step: &str, stage: Stage, times: usize) {
        self.shared.set(|state| {
            state.rules.intercept(step, stage, Action::Disconnect, times);
        });
    }

    /// Waits until a step has been intercepted.
    pub fn wait_matched(&self) {
        let state = self.shared.state();
        let not_matched = |state: &mut State| !state.rules.is_matched();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, TEST_TIMEOUT, not_matched)
            .expect("the mutex is not poisoned");
        assert!(
            !waited.1.timed_out(),
            "timed out waiting for the step at the proxy"
        );
    }

    /// Holds requests and replies; all connections stay open.
    pub fn stall(&self) {
        self.shared.set(|state| {
            state.requests_stalled = true;
            state.replies_stalled = true;
        });
    }

    /// Holds requests only: earlier requests still get their replies.
    pub fn stall_requests(&self) {
        self.shared.set(|state| state.requests_stalled = true);
    }

    /// Holds replies only: the server executes the requests.
    pub fn stall_replies(&self) {
        self.shared.set(|state| state.replies_stalled = true);
    }

    /// Forwards everything that was held, and all that follows.
    pub fn resume(&self) {
        self.shared.set(|state| {
            state.requests_stalled = false;
            state.replies_stalled = false;
            state.rules.clear();
        });
    }

    /// Whether to drop pushes of the server.
    pub fn drop_pushes(&self, dropped: bool) {
        self.shared.set(|state| state.pushes_dropped = dropped);
    }

    /// Delays every reply.
    pub fn delay_replies(&self, delay: Duration) {
        self.shared.set(|state| state.delay.reply = delay);
    }

    /// Delays every round trip: half of it each way, plus a random part of the jitter.
    pub fn set_latency(&self, round_trip: Duration, jitter: Duration) {
        self.shared.set(|state| {
            state.delay = Delay {
                request: round_trip / 2,
                reply: round_trip / 2,
                jitter: jitter / 2,
            };
        });
    }

    /// Closes each new connection at once if so many have been opened since the start; `None` accepts every connection.
    pub fn limit_connections(&self, limit: Option<usize>) {
        self.shared.set(|state| state.max_connections = limit);
    }

    /// Closes every open connection at the client. The server receives what is held when it is no longer held. New
    /// connections are accepted.
    pub fn cut(&self) {
        self.end(End::Cut, |open| {
            // Fails if the client has closed it already.
            let _ = open.client.shutdown(Shutdown::Both);
        });
    }

    /// Closes every open connection. New connections are accepted.
    pub fn disconnect(&self) {
        self.end(End::Close, |open| {
            // Fails if the peer has closed it already.
            let _ = open.client.shutdown(Shutdown::Both);
            let _ = open.server.shutdown(Shutdown::Both);
        });
    }

    /// Resets every open connection (RST). New connections are accepted.
    pub fn reset(&self) {
        self.end(End::Reset, |open| {
            for stream in [&open.client, &open.server] {
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("a TCP stream");
                // Wakes the reading thread. The last drop of the stream resets the connection.
                let _ = stream.shutdown(Shutdown::Read);
            }
        });
    }

    /// Makes every open connection half-open: closed at the server, open at the client. New connections are accepted.
    pub fn half_open(&self) {
        self.end(End::HalfOpen, |open| {
            let _ = open.server.shutdown(Shutdown::Both);
        });
    }

    fn end(&self, end: End, how: impl Fn(&Open)) {
        self.shared.set(|state| {
            for open in state.open.drain(..) {
                *open.end.lock().expect("the mutex is not poisoned") = end;
                how(&open);
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(|state| state.closed = true);
        self.disconnect();
        // Wakes the listener thread, which then exits.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

#[cfg(test)]
mod tests;
