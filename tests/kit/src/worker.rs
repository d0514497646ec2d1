//! Worker processes: a test tells them what to call, and hears what happened.
//!
//! A worker is the test's own binary, started anew on its test `common::worker::main`. It reads requests and prints events:
//!
//! ```text
//! → 7 call cached key=a body=sleep:300 lease=2000      the seventh call of this worker
//! ← >7 began 1795417730635001                          its body runs, under this fence
//! → 7 go                                               a body that waits at a gate may go on
//! ← >7 ok 12-1  or  >7 err SpinlockTriesExceeded       what the caller got
//! ```

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Resource;

use crate::child::{own_program, own_test};
use crate::usage::Usage;
use crate::{Lines, PATIENCE};

/// A worker process; it is killed when dropped.
#[derive(Debug)]
pub struct Worker {
    lines: Lines,
    last: AtomicU64,
    calls: Arc<Mutex<HashMap<u64, Sender<String>>>>,
}

/// A call that a worker was asked to make.
#[derive(Debug, Clone)]
pub struct Job(String);

/// A call under way.
#[derive(Debug)]
pub struct Call<'a> {
    worker: &'a Worker,
    id: u64,
    events: Receiver<String>,
}

impl Worker {
    /// Starts one whose annotated functions use the store at `url`.
    pub fn start(url: &str) -> Self {
        Self::with(url, &[])
    }

    /// Starts one with further environment variables.
    pub fn with(url: &str, environment: &[(&str, &str)]) -> Self {
        let url = ("DSPINLOCK_URL", url);
        Self::in_environment(std::iter::once(url).chain(environment.iter().copied()))
    }

    /// Starts one that was not told where its store is.
    pub fn without_url(environment: &[(&str, &str)]) -> Self {
        Self::in_environment(environment.iter().copied())
    }

    /// Starts one by way of a program that prepares its surroundings and becomes what it is told to run, such as
    /// `setpriv --reuid=61000`.
    pub fn by(wrapper: &[&str], url: &str) -> Self {
        let own = own_program();
        let mut words = wrapper.iter().map(OsStr::new).chain([own.as_os_str()]);
        let mut command = Command::new(words.next().expect("the worker itself at least"));
        command.args(words);
        Self::spawn(command, [("DSPINLOCK_URL", url)].into_iter())
    }

    fn in_environment<'a>(environment: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self::spawn(Command::new(own_program()), environment)
    }

    fn spawn<'a>(mut command: Command, environment: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        own_test(&mut command, "common::worker::main")
            .env("DSPINLOCK_TEST_WORKER", "1")
            .envs(environment);
        let mut lines = Lines::start(&mut command);
        let calls = Arc::<Mutex<HashMap<u64, Sender<String>>>>::default();
        let (output, readers) = (lines.take_output(), calls.clone());
        thread::spawn(move || {
            for line in output {
                let event = line
                    .strip_prefix('>')
                    .and_then(|event| event.split_once(' '))
                    .and_then(|(id, event)| Some((id.parse().ok()?, event)));
                if let Some((id, event)) = event
                    && let Some(call) = lock(&readers).get(&id)
                {
                    // A call that nobody listens to any more.
                    let _ = call.send(event.into());
                }
            }
            // The process has ended: whoever still waits for it learns so at once.
            lock(&readers).clear();
        });
        Self {
            lines,
            last: AtomicU64::new(0),
            calls,
        }
    }

    /// Starts `n` of them.
    pub fn several(n: usize, url: &str) -> Vec<Self> {
        (0..n).map(|_| Self::start(url)).collect()
    }

    /// Makes the worker begin a call; events of it are heard through the answer.
    pub fn call(&self, job: &Job) -> Call<'_> {
        self.order(&format!("call {}", job.0))
    }

    /// What the library has logged in the worker so far.
    pub fn logs(&self) -> Vec<String> {
        let call = self.order("logs");
        let lines = std::iter::from_fn(|| call.event());
        lines.take_while(|line| line != "end").collect()
    }

    /// What the library has in hand in the worker, and how many tasks its runtime has.
    pub fn left(&self) -> String {
        self.order("left").event().expect("the worker lives")
    }

    fn order(&self, order: &str) -> Call<'_> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (send, events) = channel();
        lock(&self.calls).insert(id, send);
        self.lines.say(&format!("{id} {order}"));
        Call {
            worker: self,
            id,
            events,
        }
    }

    /// Stops the process in its tracks (SIGSTOP).
    pub fn pause(&self) {
        self.lines.pause();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.lines.resume();
    }

    /// Kills it as `kill -9` does, while calls of it are under way.
    pub fn strike(&self) {
        self.lines.strike();
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.lines.kill();
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.lines.id()
    }

    /// Lets it have no more than so much of a [`Resource`]; `None`: as much as it may.
    pub fn limit(&self, resource: Resource, most: Option<u64>) {
        let most = most.map_or("max".into(), |most| most.to_string());
        let call = self.order(&format!("limit {resource:?} {most}"));
        assert_eq!(call.event().as_deref(), Some("end"));
    }

    /// How many tasks there are on its runtime and on the library's.
    pub fn tasks(&self) -> usize {
        let told = self.order("tasks").event().expect("the worker lives");
        told.parse().expect("a number")
    }

    /// What it uses now.
    pub fn usage(&self) -> Usage {
        Usage::of(self.id())
    }
}

/// Every worker makes so many calls at once.
pub fn begin<'a>(workers: &'a [Worker], callers: usize, job: &Job) -> Vec<Call<'a>> {
    (0..callers)
        .flat_map(|_| workers.iter().map(|worker| worker.call(job)))
        .collect()
}

/// How many bodies ran, which values came out, and what went wrong.
pub fn finish(calls: &[Call<'_>]) -> (usize, HashSet<String>, Vec<String>) {
    let (mut bodies, mut values, mut errors) = (0, HashSet::new(), Vec::new());
    for call in calls {
        let (ran, result) = call.story();
        bodies += ran;
        match result {
            Ok(value) => drop(values.insert(value)),
            Err(error) => errors.push(error),
        }
    }
    (bodies, values, errors)
}

impl Job {
    /// A call of the worker's function `function` with this key, whose body returns at once.
    pub fn new(function: &str, key: &str) -> Self {
        Self(format!("{function} key={key}"))
    }

    /// Another option of the call: `body=gate`, `lease=2000`, and so on; see the worker.
    #[must_use]
    pub fn with(self, name: &str, value: impl std::fmt::Display) -> Self {
        Self(format!("{} {name}={value}", self.0))
    }
}

impl Call<'_> {
    /// The next event; `None` where the process has ended.
    pub fn event(&self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => Some(event),
            Err(Disconnected) => None,
            Err(Timeout) => panic!("call {} hangs", self.id),
        }
    }

    /// Waits until the body runs, and returns its fence.
    ///
    /// # Panics
    ///
    /// Where the call ends without it.
    pub fn began(&self) -> u64 {
        let event = self.event().unwrap_or_default();
        let fence = event.strip_prefix("began ").and_then(|fence| fence.parse().ok());
        fence.unwrap_or_else(|| panic!("the body of call {} does not run: {event:?}", self.id))
    }

    /// Whether anything has happened since the last event was taken.
    pub fn is_quiet(&self) -> bool {
        match self.events.try_recv() {
            Ok(_) => false,
            Err(error) => error == std::sync::mpsc::TryRecvError::Empty,
        }
    }

    /// Lets a body that waits at its gate go on.
    pub fn go(&self) {
        self.worker.lines.say(&format!("{} go", self.id));
    }

    /// Drops the future of the call.
    pub fn cancel(&self) {
        self.worker.lines.say(&format!("{} drop", self.id));
    }

    /// What the caller got: the value, or the name of the error. Events before it are passed over.
    ///
    /// # Errors
    ///
    /// The variant's name, what the body failed with, or that the process has ended.
    pub fn end(&self) -> Result<String, String> {
        self.story().1
    }

    /// How often the body began since the last event was taken, and what the caller got.
    pub fn story(&self) -> (usize, Result<String, String>) {
        let mut bodies = 0;
        loop {
            let Some(event) = self.event() else {
                return (bodies, Err("the process has ended".into()));
            };
            match event.split_once(' ').unwrap_or((&event, "")) {
                ("ok", value) => return (bodies, Ok(value.into())),
                ("err", error) => return (bodies, Err(error.into())),
                ("began", _) => bodies += 1,
                _ => {}
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        lock(&self.worker.calls).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder panicked")
}
