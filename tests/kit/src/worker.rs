//! Worker processes, which make calls for a test and report events.
//!
//! A worker is the test's own binary, started again with its test `common::worker::main`. It reads requests and prints
//! events:
//!
//! ```text
//! → 7 call cached key=a body=sleep:300 lease=2000      makes call 7
//! ← >7 started 1795417730635001                        its body runs with this fence
//! → 7 open                                             opens the gate of its body
//! ← >7 ok 12-1  or  >7 err SpinlockTriesExceeded       the result
//! ```

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::Resource;

use crate::child::{own_program, own_test};
use crate::usage::Usage;
use crate::{ChildProcess, TEST_TIMEOUT};

/// A worker process. It is killed on drop.
#[derive(Debug)]
pub struct Worker {
    child: ChildProcess,
    last_id: AtomicU64,
    calls: Arc<Mutex<HashMap<u64, Sender<String>>>>,
}

/// The description of a call: function, key and options.
#[derive(Debug, Clone)]
pub struct Job(String);

/// A call that a worker is making.
#[derive(Debug)]
pub struct Call<'a> {
    worker: &'a Worker,
    id: u64,
    events: Receiver<String>,
}

impl Worker {
    /// Starts a worker that uses the store at `url`.
    pub fn start(url: &str) -> Self {
        Self::with_env(url, &[])
    }

    /// Starts a worker with further environment variables.
    pub fn with_env(url: &str, environment: &[(&str, &str)]) -> Self {
        let url = ("DSPINLOCK_URL", url);
        Self::in_environment(std::iter::once(url).chain(environment.iter().copied()))
    }

    /// Starts a worker without `DSPINLOCK_URL`.
    pub fn without_url(environment: &[(&str, &str)]) -> Self {
        Self::in_environment(environment.iter().copied())
    }

    /// Starts a worker through a program that prepares its environment and then executes it, for example
    /// `setpriv --reuid=61000`.
    pub fn wrapped(wrapper: &[&str], url: &str) -> Self {
        let own = own_program();
        let mut words = wrapper.iter().map(OsStr::new).chain([own.as_os_str()]);
        let mut command = Command::new(words.next().expect("the command has at least one word"));
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
        let mut child = ChildProcess::start(&mut command);
        let calls = Arc::<Mutex<HashMap<u64, Sender<String>>>>::default();
        let (output, readers) = (child.take_output(), calls.clone());
        thread::spawn(move || {
            for line in output {
                let event = line
                    .strip_prefix('>')
                    .and_then(|event| event.split_once(' '))
                    .and_then(|(id, event)| Some((id.parse().ok()?, event)));
                if let Some((id, event)) = event
                    && let Some(call) = lock(&readers).get(&id)
                {
                    // Fails if the test has dropped the call.
                    let _ = call.send(event.into());
                }
            }
            // The process has exited. Dropping the senders fails all pending receives.
            lock(&readers).clear();
        });
        Self {
            child,
            last_id: AtomicU64::new(0),
            calls,
        }
    }

    /// Starts `n` workers.
    pub fn start_many(n: usize, url: &str) -> Vec<Self> {
        (0..n).map(|_| Self::start(url)).collect()
    }

    /// Makes the worker start a call.
    pub fn call(&self, job: &Job) -> Call<'_> {
        self.request(&format!("call {}", job.0))
    }

    /// The warnings and errors among [`logs`](Self::logs).
    pub fn warnings(&self) -> Vec<String> {
        let mut logs = self.logs();
        logs.retain(|line| line.starts_with("WARN") || line.starts_with("ERROR"));
        logs
    }

    /// The lines that the library has logged in the worker so far.
    pub fn logs(&self) -> Vec<String> {
        let call = self.request("logs");
        let lines = std::iter::from_fn(|| call.event());
        lines.take_while(|line| line != "end").collect()
    }

    /// The leases, flights and watches that the library holds in the worker, and the number of tasks.
    pub fn in_use(&self) -> String {
        self.request("in_use").event().expect("the worker is running")
    }

    fn request(&self, request: &str) -> Call<'_> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (send, events) = channel();
        lock(&self.calls).insert(id, send);
        self.child.send(&format!("{id} {request}"));
        Call {
            worker: self,
            id,
            events,
        }
    }

    /// Sends SIGSTOP.
    pub fn pause(&self) {
        self.child.pause();
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.child.resume();
    }

    /// Moves the worker's clock on, as if its machine had been suspended for this time.
    pub fn suspended(&self, time: Duration) {
        let call = self.request(&format!("suspend {}", time.as_millis()));
        assert_eq!(call.event().as_deref(), Some("end"));
    }

    /// Sends SIGKILL and does not wait. Calls may be pending.
    pub fn start_kill(&self) {
        self.child.start_kill();
    }

    /// Sends SIGKILL and waits until the process has exited.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Limits a [`Resource`] of the process; `None` restores the maximum.
    pub fn limit(&self, resource: Resource, limit: Option<u64>) {
        let limit = limit.map_or("max".into(), |limit| limit.to_string());
        let call = self.request(&format!("limit {resource:?} {limit}"));
        assert_eq!(call.event().as_deref(), Some("end"));
    }

    /// The number of tasks on its runtime and on the library's.
    pub fn tasks(&self) -> usize {
        let count = self.request("tasks").event().expect("the worker is running");
        count.parse().expect("a number")
    }

    /// The resources that it uses now.
    pub fn usage(&self) -> Usage {
        Usage::of(self.id())
    }
}

/// Starts `callers` calls in every worker.
pub fn start_calls<'a>(workers: &'a [Worker], callers: usize, job: &Job) -> Vec<Call<'a>> {
    (0..callers)
        .flat_map(|_| workers.iter().map(|worker| worker.call(job)))
        .collect()
}

/// Waits for all calls. Returns the number of bodies, the distinct values, and the errors.
pub fn join_calls(calls: &[Call<'_>]) -> (usize, HashSet<String>, Vec<String>) {
    let (mut bodies, mut values, mut errors) = (0, HashSet::new(), Vec::new());
    for call in calls {
        let (ran, result) = call.outcome();
        bodies += ran;
        match result {
            Ok(value) => drop(values.insert(value)),
            Err(error) => errors.push(error),
        }
    }
    (bodies, values, errors)
}

impl Job {
    /// A call of the worker's function `function` with this key. Its body returns at once.
    pub fn new(function: &str, key: &str) -> Self {
        Self(format!("{function} key={key}"))
    }

    /// Sets an option of the call, for example `body=gate` or `lease=2000`; see `tests/common/worker.rs`.
    #[must_use]
    pub fn with(self, name: &str, value: impl std::fmt::Display) -> Self {
        Self(format!("{} {name}={value}", self.0))
    }
}

impl Call<'_> {
    /// Waits for the next event; `None` if the process has exited.
    pub fn event(&self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.events.recv_timeout(TEST_TIMEOUT) {
            Ok(event) => Some(event),
            Err(Disconnected) => None,
            Err(Timeout) => panic!("call {} did not report an event in time", self.id),
        }
    }

    /// Waits until the body has started, and returns its fence.
    ///
    /// # Panics
    ///
    /// Panics if the call returns without it.
    pub fn started(&self) -> u64 {
        let event = self.event().unwrap_or_default();
        let fence = event
            .strip_prefix("started ")
            .and_then(|fence| fence.parse().ok());
        fence.unwrap_or_else(|| panic!("the body of call {} did not start: {event:?}", self.id))
    }

    /// Whether the call has reported no further event.
    pub fn is_pending(&self) -> bool {
        match self.events.try_recv() {
            Ok(_) => false,
            Err(error) => error == std::sync::mpsc::TryRecvError::Empty,
        }
    }

    /// Opens the gate at which the body waits.
    pub fn open_gate(&self) {
        self.worker.child.send(&format!("{} open", self.id));
    }

    /// Drops the future of the call.
    pub fn cancel(&self) {
        self.worker.child.send(&format!("{} drop", self.id));
    }

    /// Waits for the result. Events before it are skipped.
    ///
    /// # Errors
    ///
    /// The name of the error variant, `Body`, `panic`, `dropped`, or `the process has exited`.
    pub fn result(&self) -> Result<String, String> {
        self.outcome().1
    }

    /// Waits for the result. Returns the number of bodies that started, and the result.
    pub fn outcome(&self) -> (usize, Result<String, String>) {
        let mut bodies = 0;
        loop {
            let Some(event) = self.event() else {
                return (bodies, Err("the process has exited".into()));
            };
            match event.split_once(' ').unwrap_or((&event, "")) {
                ("ok", value) => return (bodies, Ok(value.into())),
                ("err", error) => return (bodies, Err(error.into())),
                ("started", _) => bodies += 1,
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
    mutex.lock().expect("the mutex is not poisoned")
}
