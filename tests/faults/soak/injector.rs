//! The faults, one at a time; each is over when the next begins, unless it was a death.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Job, Journal, Proxy, Redis, Worker};
use fastrand::Rng;
use tempfile::TempDir;

use super::episode::{STEADY, key};

/// A store and the ways to it.
pub(super) struct Place {
    pub(super) server: Option<Redis>,
    /// Every other worker is behind it.
    proxy: Option<Proxy>,
    folder: TempDir,
}

impl Place {
    pub(super) fn redis(server: Redis) -> Self {
        Self {
            proxy: Some(Proxy::before(server.port())),
            server: Some(server),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(super) fn embedded() -> Self {
        Self {
            proxy: None,
            server: None,
            folder: tempfile::tempdir().expect("a folder"),
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

/// Who is dead by now.
#[derive(Clone, Default)]
pub(super) struct Dead(Arc<Mutex<BTreeSet<usize>>>);

impl Dead {
    /// While it is held nobody dies.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.0.lock().expect("no holder panicked")
    }
}

/// Where faults strike during one episode.
pub(super) struct Scene<'a> {
    place: &'a mut Place,
    workers: &'a [Worker],
    journal: &'a Journal,
    dice: Rng,
    dead: Dead,
    pub(super) paused: BTreeSet<usize>,
    pub(super) struck: Vec<&'static str>,
}

type Fault = (&'static str, fn(&mut Scene<'_>));

/// What can be done to every store.
const EVERYWHERE: &[Fault] = &[
    ("kill -9", |scene| scene.kill()),
    ("SIGSTOP", |scene| scene.stop()),
    ("delete", |scene| scene.delete()),
    ("delete", |scene| scene.delete()),
];

/// What can be done to a server and the way to it.
const REDIS: &[Fault] = &[
    ("restart", |scene| scene.server_mut().restart()),
    ("FLUSHALL", |scene| scene.ask(&["FLUSHALL"])),
    ("SCRIPT FLUSH", |scene| scene.ask(&["SCRIPT", "FLUSH"])),
    ("CLIENT KILL", |scene| {
        scene.ask(&["CLIENT", "KILL", "TYPE", "normal"])
    }),
    ("CLIENT PAUSE", |scene| {
        scene.ask(&["CLIENT", "PAUSE", "400", "ALL"])
    }),
    ("server SIGSTOP", |scene| {
        scene.server().pause();
        scene.rest(800);
        scene.server().resume();
    }),
    ("full memory", |scene| {
        scene.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        scene.rest(300);
        scene.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    }),
    ("no permission", |scene| {
        scene.ask(&["ACL", "SETUSER", "default", "-evalsha"]);
        scene.rest(300);
        scene.ask(&["ACL", "SETUSER", "default", "+@all"]);
    }),
    ("replica", |scene| {
        // Of nobody: it only refuses to write.
        scene.ask(&["REPLICAOF", "127.0.0.1", "1"]);
        scene.rest(700);
        scene.ask(&["REPLICAOF", "NO", "ONE"]);
    }),
    ("eviction", |scene| {
        // Of any one entry, a state or a value.
        let keys = scene.server().keys();
        if !keys.is_empty() {
            let key = scene.dice.usize(..keys.len());
            scene.ask(&["UNLINK", &keys[key]]);
        }
    }),
    ("no replies", |scene| scene.through(Proxy::stall_replies, 700)),
    ("partition", |scene| scene.through(Proxy::stall, 700)),
    ("slow link", |scene| {
        scene.through(|proxy| proxy.delay(Duration::from_millis(40)), 700);
        scene.proxy().delay(Duration::ZERO);
    }),
    ("cut", |scene| scene.proxy().cut()),
];

impl<'a> Scene<'a> {
    pub(super) fn new(place: &'a mut Place, workers: &'a [Worker], dice: Rng, journal: &'a Journal) -> Self {
        Self {
            dead: Dead::default(),
            place,
            workers,
            journal,
            dice,
            paused: BTreeSet::new(),
            struck: Vec::new(),
        }
    }

    pub(super) fn dead(&self) -> Dead {
        self.dead.clone()
    }

    pub(super) fn killed(&self) -> BTreeSet<usize> {
        self.dead.lock().clone()
    }

    /// One fault, and a while in which all may recover from it, or not quite.
    pub(super) fn strike(&mut self) {
        let redis = if self.place.server.is_some() { REDIS } else { &[] };
        let at = self.dice.usize(..EVERYWHERE.len() + redis.len());
        let (name, fault) = EVERYWHERE.iter().chain(redis).nth(at).expect("one of them");
        fault(self);
        self.struck.push(name);
        self.rest(250);
    }

    /// At most half of them die in one episode.
    fn kill(&mut self) {
        let victim = self.victim();
        let mut dead = self.dead.lock();
        if dead.len() < self.workers.len() / 2 && dead.insert(victim) {
            self.workers[victim].strike();
        }
    }

    /// Long enough for some to lose their lease.
    fn stop(&mut self) {
        let victim = self.victim();
        if !self.dead.lock().contains(&victim) {
            self.paused.insert(victim);
            self.workers[victim].pause();
            self.rest(1500);
            self.workers[victim].resume();
        }
    }

    fn delete(&mut self) {
        let by = self.dice.usize(..self.workers.len());
        if !self.dead.lock().contains(&by) {
            let key = key(self.journal, &mut self.dice);
            let job = Job::new("forget", &key).with("journal", self.journal.path().display());
            // Where the store is away it fails, and is not acknowledged.
            let _ = self.workers[by].call(&job).end();
        }
    }

    fn victim(&mut self) -> usize {
        self.dice.usize(STEADY + 1..self.workers.len())
    }

    fn rest(&mut self, most: u64) {
        sleep(Duration::from_millis(self.dice.u64(..most)));
    }

    fn through(&mut self, fault: fn(&Proxy), most: u64) {
        fault(self.proxy());
        self.rest(most);
        self.proxy().resume();
    }

    fn ask(&mut self, command: &[&str]) {
        // A server that is slow today may answer late, which is of no interest here.
        let _ = self.server().try_raw(command);
    }

    fn server(&self) -> &Redis {
        self.place
            .server
            .as_ref()
            .expect("faults of a server strike a server")
    }

    fn server_mut(&mut self) -> &mut Redis {
        self.place
            .server
            .as_mut()
            .expect("faults of a server strike a server")
    }

    fn proxy(&self) -> &Proxy {
        self.place
            .proxy
            .as_ref()
            .expect("faults of a server strike a server")
    }
}
