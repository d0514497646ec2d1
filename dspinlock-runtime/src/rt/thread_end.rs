//! The end of a thread: it waits a moment for the ABORTs that the thread has queued, because the process may end with it.
//!
//! `in_flight` and `pool` register a thread that uses a pool, `lease` counts its ABORTs. At the end of the main thread, which
//! is the end of the process, all locks of the process are given up too, because `process::exit` drops no locals. Until then
//! `engine` sends no further ACQUIRE. Nothing else in this crate waits in a drop.

use std::cell::{Cell, RefCell};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use once_cell::race::OnceBox;

use super::process::{self, PerProcess};

/// The longest wait of one thread.
const LIMIT: Duration = Duration::from_millis(200);

/// Every ABORT of this process.
static ALL: PerProcess<Aborts> = PerProcess::new(|_| Aborts::default());

/// Whether the main thread gives all locks up and waits.
static IS_ENDING: PerProcess<AtomicBool> = PerProcess::new(|_| AtomicBool::new(false));

/// Gives all locks of the process up.
static GIVE_UP: OnceBox<fn()> = OnceBox::new();

thread_local! {
    static THREAD: Thread = const {
        Thread {
            process: Cell::new(0),
            aborts: RefCell::new(None),
        }
    };
}

/// A thread that used a pool.
struct Thread {
    /// The generation of the process that used the pool. A forked child inherits the thread-locals of the thread that forks.
    process: Cell<u32>,
    /// The ABORTs that this thread has queued, if there are any.
    aborts: RefCell<Option<Arc<Aborts>>>,
}

/// ABORTs without a reply.
#[derive(Default)]
struct Aborts {
    count: Mutex<usize>,
    none: Condvar,
}

/// An ABORT that is queued. Dropped after its first reply.
pub(crate) struct QueuedAbort {
    thread: Option<Arc<Aborts>>,
}

/// This thread uses a pool. `process` is the generation of the current process.
#[inline]
pub(crate) fn register(process: u32) {
    // Fails only if the thread is ending.
    let _ = THREAD.try_with(|thread| thread.register(process));
}

/// Sets what the end of the process calls. Only the first call has an effect.
pub(crate) fn at_end_of_process(give_up: fn()) {
    GIVE_UP.get_or_init(|| Box::new(give_up));
}

/// Whether the process ends: a lock that is acquired now would not be given up.
pub(crate) fn is_ending() -> bool {
    IS_ENDING.get().load(Ordering::SeqCst)
}

/// Counts an ABORT of this thread.
pub(crate) fn queue_abort() -> QueuedAbort {
    let own = |thread: &Thread| {
        thread.register(process::generation());
        let mut aborts = thread.aborts.borrow_mut();
        aborts.get_or_insert_default().clone()
    };
    let thread = THREAD.try_with(own).ok();
    ALL.get().add();
    if let Some(thread) = &thread {
        thread.add();
    }
    QueuedAbort { thread }
}

impl Drop for QueuedAbort {
    fn drop(&mut self) {
        ALL.get().remove();
        if let Some(thread) = &self.thread {
            thread.remove();
        }
    }
}

impl Aborts {
    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn remove(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.none.notify_all();
        }
    }

    /// Waits until there are none, but not for long.
    fn wait(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.none.wait_timeout_while(count, LIMIT, |count| *count > 0);
    }
}

impl Thread {
    fn register(&self, process: u32) {
        if self.process.replace(process) != process {
            // Of the parent, if there are any.
            mem::forget(self.aborts.take());
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.process.get() != process::generation() {
            return;
        }
        if is_main() {
            let is_ending = IS_ENDING.get();
            is_ending.store(true, Ordering::SeqCst);
            if let Some(give_up) = GIVE_UP.get() {
                give_up();
            }
            ALL.get().wait();
            // A program may end its main thread alone.
            is_ending.store(false, Ordering::SeqCst);
        } else if let Some(aborts) = self.aborts.take() {
            aborts.wait();
        }
    }
}

/// Whether this is the main thread. Unknown on systems other than Linux.
fn is_main() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
    #[cfg(not(target_os = "linux"))]
    false
}

#[cfg(test)]
mod tests {
    use crate::rt::clock::Instant;

    use super::*;

    #[test]
    fn a_thread_waits_for_its_own_aborts_and_not_for_long() {
        let never = Mutex::new(Vec::new());
        let of_this_thread = queue_abort();
        let time = |queues: bool, replies_after: Option<u64>| {
            let start = Instant::now();
            let queued = std::thread::scope(|scope| {
                // `join` returns after the thread-locals are dropped.
                let thread = scope.spawn(|| {
                    register(process::generation());
                    let queued = queues.then(queue_abort);
                    match replies_after {
                        Some(pause) => drop(std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(pause));
                            drop(queued);
                        })),
                        None => never.lock().expect("no thread panics").extend(queued),
                    }
                });
                thread.join()
            });
            queued.expect("the thread ends");
            start.elapsed()
        };
        assert!(time(false, None) < LIMIT / 2, "it has queued nothing");
        let replied = time(true, Some(50));
        assert!((LIMIT / 4..LIMIT).contains(&replied), "{replied:?}");
        assert!(time(true, None) >= LIMIT, "there is no reply");
        drop(of_this_thread);
    }
}
