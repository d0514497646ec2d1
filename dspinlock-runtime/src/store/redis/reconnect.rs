//! A supervised connection on one runtime: made with the first request, made anew after each failure.
//!
//! A connection that is made anew is a new generation. A request goes out on one generation and fails with it.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::StoreFailure;
use crate::rt::background;
use crate::store::Failure;
use crate::store::redis::connection::Generation;
use crate::store::redis::tracking::Watches;
#[cfg(feature = "sentinel")]
use crate::store::redis::url::address::Place;
use crate::store::redis::{Address, Limits};

/// The way to a server from one runtime.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    address: Arc<Address>,
    limits: Limits,
    /// Where the connection is driven.
    home: Handle,
    watches: Option<Arc<Watches>>,
    state: watch::Sender<State>,
}

impl Inner {
    async fn reach(&self) -> Result<Arc<Generation>, String> {
        #[cfg(feature = "sentinel")]
        if let Place::Sentinels(sentinels) = &self.address.place {
            return sentinels.connect(self.limits, self.watches.clone()).await;
        }
        Generation::connect(&self.address, self.limits, self.watches.clone()).await
    }
}

enum State {
    Down,
    Connecting,
    Up(Arc<Generation>),
    Failed(Failure),
    /// The runtime has ended.
    Gone,
}

impl Link {
    pub(super) fn new(
        address: Arc<Address>,
        limits: Limits,
        home: Handle,
        watches: Option<Arc<Watches>>,
    ) -> Self {
        let state = watch::Sender::new(State::Down);
        Self(Arc::new(Inner {
            address,
            limits,
            home,
            watches,
            state,
        }))
    }

    /// The generation that is up.
    pub(super) fn up(&self) -> Option<Arc<Generation>> {
        match &*self.0.state.borrow() {
            State::Up(generation) if generation.is_current() => Some(generation.clone()),
            _ => None,
        }
    }

    /// The generation that is up; else the outcome of an attempt that began no earlier than the last one failed.
    pub(super) async fn generation(&self) -> Result<Arc<Generation>, Failure> {
        if let Some(generation) = self.up() {
            return Ok(generation);
        }
        let mut states = self.0.state.subscribe();
        self.connect();
        loop {
            match &*states.borrow_and_update() {
                State::Up(generation) => return Ok(generation.clone()),
                State::Failed(failure) => return Err(failure.clone()),
                // Nothing was sent; another way will do.
                State::Gone => return Err(Failure::Unknown(StoreFailure::Disconnected)),
                State::Down | State::Connecting => {}
            }
            // The sender lives in `self`.
            let _ = states.changed().await;
        }
    }

    /// The runtime has ended, or cannot drive a connection.
    pub(super) fn is_gone(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Gone)
    }

    /// Whether the server owes an answer and is silent.
    #[cfg(feature = "cluster")]
    pub(super) fn is_silent(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Up(generation) if generation.is_silent())
    }

    #[cfg(feature = "cluster")]
    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.0.state.borrow(), State::Up(generation) if generation.is_open())
    }

    /// Ends the generation that is up.
    #[cfg(feature = "cluster")]
    pub(super) fn end(&self) {
        if let State::Up(generation) = &*self.0.state.borrow() {
            generation.end();
        }
    }

    /// No generation comes after the last one.
    pub(super) fn retire(&self) {
        self.0.state.send_replace(State::Gone);
    }

    /// Starts an attempt unless one is under way.
    fn connect(&self) {
        let start = self.0.state.send_if_modified(|state| {
            let start = match state {
                State::Connecting | State::Gone => false,
                State::Up(generation) => !generation.is_current(),
                State::Down | State::Failed(_) => true,
            };
            if start {
                *state = State::Connecting;
            }
            start
        });
        if start {
            let attempt = Attempt {
                link: self.clone(),
                outcome: None,
            };
            self.0.home.spawn(attempt.run());
        }
    }

    fn failure(&self, reason: &str) -> Failure {
        Failure::NotReady {
            address: self.0.address.to_string(),
            reason: reason.into(),
        }
    }
}

/// One attempt to connect. A runtime that ends, or has no IO, drops it in the midst: then the link is gone.
struct Attempt {
    link: Link,
    outcome: Option<State>,
}

impl Attempt {
    async fn run(mut self) {
        let inner = self.link.0.clone();
        let outcome = tokio::select! {
            outcome = inner.reach() => outcome,
            () = background::patience(inner.limits.connect) => Err("no answer in time".into()),
        };
        self.outcome = Some(match outcome {
            Ok(generation) => State::Up(generation),
            Err(reason) => {
                log::warn!(target: "dspinlock", "cannot connect to {}: {reason}", inner.address);
                State::Failed(self.link.failure(&reason))
            }
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.link
            .0
            .state
            .send_replace(self.outcome.take().unwrap_or(State::Gone));
    }
}
