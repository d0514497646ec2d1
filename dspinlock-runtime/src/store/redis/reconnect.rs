//! A connection on one runtime that is opened with the first request and again after each failure.
//!
//! `node` and `failover` send on it. A request is sent on one connection and fails with it; it is never sent twice.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::connection::Connection;
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::url::address::Address;
use crate::error::StoreFailure;
use crate::rt::background;
use crate::store::api::{Boxed, Failure};

/// Finds the server to connect to. Messages show its `Display`.
pub(crate) trait Locate: fmt::Display + Send + Sync + 'static {
    /// The current address of the server.
    fn locate(self: Arc<Self>, timeouts: Timeouts) -> Boxed<Result<Address, String>>;

    /// Checks a new connection to `address`, and closes it later if the server moves to another address.
    fn admit(self: Arc<Self>, connection: Arc<Connection>, address: Address) -> Boxed<Result<(), String>>;
}

/// A server at a fixed address.
impl Locate for Address {
    fn locate(self: Arc<Self>, _: Timeouts) -> Boxed<Result<Address, String>> {
        Box::pin(std::future::ready(Ok(Self::clone(&self))))
    }

    fn admit(self: Arc<Self>, _: Arc<Connection>, _: Address) -> Boxed<Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The current connection to a server from one runtime.
#[derive(Clone)]
pub(crate) struct Reconnecting(Arc<Inner>);

struct Inner {
    server: Arc<dyn Locate>,
    timeouts: Timeouts,
    /// Drives the connection.
    runtime: Handle,
    watches: Option<Arc<Watches>>,
    state: watch::Sender<State>,
}

impl Inner {
    async fn connect(&self) -> Result<Arc<Connection>, String> {
        let address = self.server.clone().locate(self.timeouts).await?;
        let connection = Connection::open(&address, self.timeouts, self.watches.clone()).await?;
        self.server.clone().admit(connection.clone(), address).await?;
        Ok(connection)
    }
}

enum State {
    Down,
    Connecting,
    Up(Arc<Connection>),
    Failed(Failure),
    /// The runtime has shut down.
    Retired,
}

impl Reconnecting {
    pub(crate) fn new(
        server: Arc<dyn Locate>,
        timeouts: Timeouts,
        runtime: Handle,
        watches: Option<Arc<Watches>>,
    ) -> Self {
        Self(Arc::new(Inner {
            server,
            timeouts,
            runtime,
            watches,
            state: watch::Sender::new(State::Down),
        }))
    }

    /// The connection, if it is up.
    pub(crate) fn current(&self) -> Option<Arc<Connection>> {
        match &*self.0.state.borrow() {
            State::Up(connection) if connection.is_current() => Some(connection.clone()),
            _ => None,
        }
    }

    /// The connection, if it is up; otherwise the outcome of an attempt that started after the last failure.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let mut states = self.0.state.subscribe();
        self.start_attempt();
        loop {
            match &*states.borrow_and_update() {
                State::Up(connection) => return Ok(connection.clone()),
                State::Failed(failure) => return Err(failure.clone()),
                // The pool retries this failure on the background thread. Nothing was sent.
                State::Retired => return Err(Failure::Unknown(StoreFailure::Disconnected)),
                State::Down | State::Connecting => {}
            }
            // `self` keeps the sender alive.
            let _ = states.changed().await;
        }
    }

    /// Whether the runtime has shut down, or cannot drive a connection.
    pub(crate) fn is_retired(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Retired)
    }

    /// Whether a reply is due and the server is silent.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_silent(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Up(connection) if connection.is_silent())
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Up(connection) if connection.is_open())
    }

    /// Closes the current connection. The next request opens another one.
    #[cfg(feature = "cluster")]
    pub(crate) fn close(&self) {
        if let State::Up(connection) = &*self.0.state.borrow() {
            connection.close();
        }
    }

    /// No further connection is opened.
    pub(crate) fn retire(&self) {
        self.0.state.send_replace(State::Retired);
    }

    /// Starts an attempt unless one is running.
    fn start_attempt(&self) {
        let start = self.0.state.send_if_modified(|state| {
            let start = match state {
                State::Connecting | State::Retired => false,
                State::Up(connection) => !connection.is_current(),
                State::Down | State::Failed(_) => true,
            };
            if start {
                *state = State::Connecting;
            }
            start
        });
        if start {
            let attempt = ConnectAttempt {
                target: self.clone(),
                outcome: None,
            };
            self.0.runtime.spawn(attempt.run());
        }
    }
}

/// One attempt to connect. If the runtime shuts down or has no I/O driver, it drops the attempt, and no other one follows.
struct ConnectAttempt {
    target: Reconnecting,
    outcome: Option<State>,
}

impl ConnectAttempt {
    async fn run(mut self) {
        let inner = self.target.0.clone();
        let outcome = tokio::select! {
            outcome = inner.connect() => outcome,
            () = background::time_limit(inner.timeouts.connect) => {
                Err(format!("no answer within {:?}: check the address and the network", inner.timeouts.connect))
            }
        };
        self.outcome = Some(match outcome {
            Ok(connection) => State::Up(connection),
            Err(reason) => {
                log::warn!(target: "dspinlock", "cannot connect to `{}`: {reason}", inner.server);
                State::Failed(Failure::NotReady {
                    address: inner.server.to_string(),
                    reason,
                })
            }
        });
    }
}

impl Drop for ConnectAttempt {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or(State::Retired);
        self.target.0.state.send_replace(outcome);
    }
}
