//! The fixture for faults of the network.

use dspinlock_testkit::{Job, Proxy, Redis, Worker};

/// A server, a proxy in front of it, and a worker that connects through the proxy.
pub(crate) struct Proxied {
    pub(crate) server: Redis,
    pub(crate) proxy: Proxy,
    pub(crate) worker: Worker,
}

impl Proxied {
    pub(crate) fn new() -> Self {
        Self::on(Redis::start())
    }

    pub(crate) fn on(server: Redis) -> Self {
        let proxy = Proxy::start(server.port());
        let worker = Worker::start(&proxy.url());
        Self {
            server,
            proxy,
            worker,
        }
    }

    /// Makes a first call, so that the worker is connected.
    pub(crate) fn connected(self) -> Self {
        self.worker.call(&Job::new("cached", "first")).result().unwrap();
        self
    }
}
