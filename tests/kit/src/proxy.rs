//! Stands between a client and a server, and understands both: counts round trips, and stalls, loses, delays and cuts
//! what a test names.

mod flow;
mod rules;
mod wire;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use self::rules::Rules;
use crate::PATIENCE;

/// A TCP proxy on a free port of 127.0.0.1.
///
/// A round trip is what a client sends before it is answered: a pipeline is one, a command that waits for the answer to
/// another is a second. Health checks (`PING` alone) are not counted.
///
/// A step is a command by its name, or one of the library's scripts by what it says when it is done: `ACQUIRE`, `RENEW`,
/// `PUBLISH`, `ABORT` and `DELETE`.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

/// Where a step is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before the server has it.
    Request,
    /// When it is done, and before the client learns of it.
    Reply,
}

/// What becomes of a step that is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is kept back, with all that comes behind it on its connection, until [`Proxy::resume`].
    Hold,
    /// Its connection breaks, and it is gone.
    Cut,
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
    open: Vec<Open>,
    connections: usize,
    requests_stalled: bool,
    replies_stalled: bool,
    pushes_lost: bool,
    rules: Rules,
    delay: Delay,
    closed: bool,
}

/// How much later things arrive.
#[derive(Debug, Default, Clone, Copy)]
struct Delay {
    request: Duration,
    reply: Duration,
    /// Each direction is up to so much slower still.
    jitter: Duration,
}

/// The two streams of a connection, and what is to become of them.
#[derive(Debug)]
struct Open {
    client: TcpStream,
    server: TcpStream,
    end: Arc<Mutex<flow::End>>,
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

    /// How often this step was asked for since the start.
    pub fn asked(&self, step: &str) -> usize {
        self.shared.state().rules.asked(step)
    }

    /// The bytes of the last request for this step.
    pub fn request(&self, step: &str) -> Option<Vec<u8>> {
        self.shared.state().rules.request(step)
    }

    /// The next time that this step comes here, this becomes of it. One step at a time is looked out for.
    pub fn on(&self, step: &str, at: At, fate: Fate) {
        self.shared.set(|state| state.rules.look_out(step, at, fate));
    }

    /// Waits until the step that is looked out for has come.
    pub fn met(&self) {
        let state = self.shared.state();
        let not_met = |state: &mut State| !state.rules.is_met();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, not_met)
            .expect("no thread of the proxy panicked");
        assert!(!waited.1.timed_out(), "waited in vain for the step at the proxy");
    }

    /// Keeps back requests and replies, with all connections open.
    pub fn stall(&self) {
        self.shared.set(|state| {
            state.requests_stalled = true;
            state.replies_stalled = true;
        });
    }

    /// Keeps back requests only: the server learns of nothing, and what it was asked before is still answered.
    pub fn stall_requests(&self) {
        self.shared.set(|state| state.requests_stalled = true);
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
            state.rules.forget();
        });
    }

    /// Whether what the server pushes is lost.
    pub fn lose_pushes(&self, lost: bool) {
        self.shared.set(|state| state.pushes_lost = lost);
    }

    /// Makes every reply come so much later.
    pub fn delay(&self, delay: Duration) {
        self.shared.set(|state| state.delay.reply = delay);
    }

    /// Makes a round trip take so long, half of it each way, and up to the jitter longer.
    pub fn latency(&self, round_trip: Duration, jitter: Duration) {
        self.shared.set(|state| {
            state.delay = Delay {
                request: round_trip / 2,
                reply: round_trip / 2,
                jitter: jitter / 2,
            };
        });
    }

    /// Breaks every open connection; new ones are taken.
    pub fn cut(&self) {
        self.end(flow::End::Cut, |open| {
            // Fails where the peer was first.
            let _ = open.client.shutdown(Shutdown::Both);
            let _ = open.server.shutdown(Shutdown::Both);
        });
    }

    /// Breaks every open connection as a host does that knows nothing of it (RST); new ones are taken.
    pub fn break_off(&self) {
        self.end(flow::End::Reset, |open| {
            for stream in [&open.client, &open.server] {
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("a TCP stream");
                // Wakes the thread that reads; the last one to let go of the stream resets it.
                let _ = stream.shutdown(Shutdown::Read);
            }
        });
    }

    /// Makes every open connection half-open: the server has lost it, and the client hears nothing of that. New ones are
    /// taken.
    pub fn half_open(&self) {
        self.end(flow::End::HalfOpen, |open| {
            let _ = open.server.shutdown(Shutdown::Both);
        });
    }

    fn end(&self, end: flow::End, how: impl Fn(&Open)) {
        self.shared.set(|state| {
            for open in state.open.drain(..) {
                *open.end.lock().expect("no thread of the proxy panicked") = end;
                how(&open);
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

#[cfg(test)]
mod tests;
