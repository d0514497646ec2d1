//! Fault injection: one fault at a time. Only kills last longer than the fault.

use std::collections::BTreeSet;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Job, Journal, Proxy, Redis, Worker};
use fastrand::Rng;
use tempfile::TempDir;

use super::episode::{STEADY, key};

/// A store and the routes to it.
pub(super) struct Target {
    pub(super) server: Option<Redis>,
    /// Every other worker connects through it.
    proxy: Option<Proxy>,
    folder: TempDir,
}

impl Target {
    pub(super) fn redis(server: Redis) -> Self {
        Self {
            proxy: Some(Proxy::start(server.port())),
            server: Some(server),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(super) fn embedded() -> Self {
        Self {
            proxy: None,
            server: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(super) fn url(&self) -> String {
        match &self.server {
            Some(server) => server.url(),
            None => format!("sqlite:{}/locks.sqlite", self.folder.path().display()),
        }
    }

    pub(super) fn worker(&self, at: usize) -> Worker {
        match &self.proxy {
            Some(proxy) if at.is_multiple_of(2) => Worker::start(&proxy.url()),
            _ => Worker::start(&self.url()),
        }
    }
}

/// The workers that were killed in this episode.
#[derive(Clone, Default)]
pub(super) struct Killed(Arc<Mutex<BTreeSet<usize>>>);

impl Killed {
    /// No worker is killed while the guard is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.0.lock().expect("the mutex is not poisoned")
    }
}

/// Injects the faults of one episode.
pub(super) struct Injector<'a> {
    target: &'a mut Target,
    workers: &'a [Worker],
    journal: &'a Journal,
    dice: Rng,
    dead: Killed,
    pub(super) paused: BTreeSet<usize>,
    pub(super) injected: Vec<&'static str>,
}

type Fault = (&'static str, fn(&mut Injector<'_>));

/// Faults that apply to every store.
const EVERYWHERE: &[Fault] = &[
    ("kill -9", |injector| injector.kill()),
    ("SIGSTOP", |injector| injector.pause_worker()),
    ("delete", |injector| injector.delete()),
    ("delete", |injector| injector.delete()),
];

/// Faults of a server and of the network.
const REDIS: &[Fault] = &[
    ("restart", |injector| {
        injector.wipe(|injector| injector.server_mut().restart())
    }),
    ("FLUSHALL", |injector| {
        injector.wipe(|injector| injector.send(&["FLUSHALL"]))
    }),
    ("SCRIPT FLUSH", |injector| injector.send(&["SCRIPT", "FLUSH"])),
    ("CLIENT KILL", |injector| {
        injector.send(&["CLIENT", "KILL", "TYPE", "normal"])
    }),
    ("CLIENT PAUSE", |injector| {
        injector.send(&["CLIENT", "PAUSE", "400", "ALL"])
    }),
    ("server SIGSTOP", |injector| {
        injector.server().pause();
        injector.pause(800);
        injector.server().resume();
    }),
    ("full memory", |injector| {
        injector.send(&["CONFIG", "SET", "maxmemory", "1"]);
        injector.pause(300);
        injector.send(&["CONFIG", "SET", "maxmemory", "0"]);
    }),
    ("no permission", |injector| {
        injector.send(&["ACL", "SETUSER", "default", "-evalsha"]);
        injector.pause(300);
        injector.send(&["ACL", "SETUSER", "default", "+@all"]);
    }),
    ("replica", |injector| {
        // Its master does not exist; it only refuses writes.
        injector.send(&["REPLICAOF", "127.0.0.1", "1"]);
        injector.pause(700);
        injector.send(&["REPLICAOF", "NO", "ONE"]);
    }),
    ("eviction", |injector| {
        // One random entry.
        let keys = injector.server().keys();
        if !keys.is_empty() {
            let key = injector.dice.usize(..keys.len());
            injector.wipe(|injector| injector.send(&["UNLINK", &keys[key]]));
        }
    }),
    ("no replies", |injector| {
        injector.through(Proxy::stall_replies, 700)
    }),
    ("partition", |injector| injector.through(Proxy::stall, 700)),
    ("slow link", |injector| {
        injector.through(|proxy| proxy.delay_replies(Duration::from_millis(40)), 700);
        injector.proxy().delay_replies(Duration::ZERO);
    }),
    ("cut", |injector| injector.proxy().disconnect()),
];

impl<'a> Injector<'a> {
    pub(super) fn new(
        target: &'a mut Target,
        workers: &'a [Worker],
        dice: Rng,
        journal: &'a Journal,
    ) -> Self {
        Self {
            dead: Killed::default(),
            target,
            workers,
            journal,
            dice,
            paused: BTreeSet::new(),
            injected: Vec::new(),
        }
    }

    pub(super) fn dead(&self) -> Killed {
        self.dead.clone()
    }

    pub(super) fn killed(&self) -> BTreeSet<usize> {
        self.dead.lock().clone()
    }

    /// Injects one random fault, then pauses. The workers may not fully recover in the pause.
    pub(super) fn inject(&mut self) {
        let redis = if self.target.server.is_some() { REDIS } else { &[] };
        let at = self.dice.usize(..EVERYWHERE.len() + redis.len());
        let (name, fault) = EVERYWHERE
            .iter()
            .chain(redis)
            .nth(at)
            .expect("the index is in range");
        fault(self);
        self.injected.push(name);
        self.pause(250);
    }

    /// Kills a worker, at most half of them per episode.
    fn kill(&mut self) {
        let victim = self.victim();
        let mut dead = self.dead.lock();
        if dead.len() < self.workers.len() / 2 && dead.insert(victim) {
            self.workers[victim].start_kill();
        }
    }

    /// Pauses a worker, often for longer than its lease.
    fn pause_worker(&mut self) {
        let victim = self.victim();
        if !self.dead.lock().contains(&victim) {
            self.paused.insert(victim);
            self.workers[victim].pause();
            self.pause(1500);
            self.workers[victim].resume();
        }
    }

    fn delete(&mut self) {
        let by = self.dice.usize(..self.workers.len());
        if !self.dead.lock().contains(&by) {
            let key = key(self.journal, &mut self.dice);
            let function = if self.dice.bool() { "delete" } else { "delete_near" };
            let job = Job::new(function, &key).with("journal", self.journal.path().display());
            // Fails if the store is unreachable; then it is not acknowledged.
            let _ = self.workers[by].call(&job).result();
        }
    }

    fn victim(&mut self) -> usize {
        self.dice.usize(STEADY + 1..self.workers.len())
    }

    fn pause(&mut self, max_ms: u64) {
        sleep(Duration::from_millis(self.dice.u64(..max_ms)));
    }

    fn through(&mut self, fault: fn(&Proxy), max_ms: u64) {
        fault(self.proxy());
        self.pause(max_ms);
        self.proxy().resume();
    }

    /// Records that this fault removes entries.
    fn wipe(&mut self, fault: impl FnOnce(&mut Self)) {
        let tag = format!("{}-wipe{}", process::id(), self.injected.len());
        self.journal.append(format_args!("wipe {tag} *"));
        fault(self);
        self.journal.append(format_args!("wiped {tag} *"));
    }

    fn send(&mut self, command: &[&str]) {
        // A slow reply does not matter.
        let _ = self.server().try_raw(command);
    }

    fn server(&self) -> &Redis {
        self.target
            .server
            .as_ref()
            .expect("faults of a server are injected on Redis only")
    }

    fn server_mut(&mut self) -> &mut Redis {
        self.target
            .server
            .as_mut()
            .expect("faults of a server are injected on Redis only")
    }

    fn proxy(&self) -> &Proxy {
        self.target
            .proxy
            .as_ref()
            .expect("faults of a server are injected on Redis only")
    }
}
