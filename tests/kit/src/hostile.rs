//! A hostile server: a proxy to a real server, which is honest until a chosen reply. The client believes it, because login
//! and setup are real.

mod attack;
mod connection;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

pub use self::attack::Attack;
use crate::proxy::rules::Rules;

/// The connections and replies that are attacked. The others stay honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A new connection, before the client has sent anything.
    Accept,
    /// The reply to this command or step (see [`crate::Proxy`]), on any connection.
    Reply(&'static str),
    /// The reply to `GETRANGE` on a connection that only reads: it has not sent `HELLO`.
    Reader,
    /// The reply to this command or step if `CLIENT CACHING` precedes it, as a waiting call sends it.
    Watched(&'static str),
    /// Every reply that may have a value: to `GETRANGE` and to an ACQUIRE.
    Value,
}

/// A server that attacks its clients, on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Hostile {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    server: u16,
    plan: Option<(Target, Attack)>,
    rules: Rules,
    open: Vec<TcpStream>,
    attacks: usize,
    /// The last value that a client has read.
    value: Vec<u8>,
    closed: bool,
}

impl Hostile {
    /// Starts an honest proxy to the server on `port`.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of the loopback address");
        let own = listener.local_addr().expect("a bound address").port();
        let shared = Arc::<Shared>::default();
        shared.state().server = port;
        let threads = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if threads.state().closed {
                    return;
                }
                connection::serve(client, &threads);
            }
        });
        Self { port: own, shared }
    }

    /// `redis://127.0.0.1:port` of this server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port of this server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Attacks this target from now on, each time.
    pub fn attack(&self, target: Target, attack: Attack) {
        self.shared.state().plan = Some((target, attack));
    }

    /// The number of attacks so far.
    pub fn attacks(&self) -> usize {
        self.shared.state().attacks
    }

    /// Closes all connections, and is honest from now on.
    pub fn reform(&self) {
        let mut state = self.shared.state();
        state.plan = None;
        for open in state.open.drain(..) {
            // Fails if the peer has closed it already.
            let _ = open.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.reform();
        self.shared.state().closed = true;
        // Wakes the listener thread, which then exits.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the mutex is not poisoned")
    }

    /// The attack on this reply, and how many came before it.
    fn plan(&self, matches: impl Fn(Target) -> bool) -> Option<(Attack, usize)> {
        let mut state = self.state();
        let (target, attack) = state.plan?;
        if !matches(target) {
            return None;
        }
        state.attacks += 1;
        Some((attack, state.attacks - 1))
    }
}
