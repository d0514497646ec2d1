//! The turns of a driver: the task writes requests and reads replies, and the turns of callers only write.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::thread;

use crate::rt::blocking;
use crate::turns::Turns;

const REQUESTS: u32 = 2;

/// A connection to a server that answers each request when it is written.
#[derive(Default)]
struct Connection {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queued: u32,
    written: u32,
    arrived: u32,
    read: u32,
    /// Wakes the driver when a request is queued.
    on_request: Option<Waker>,
    /// Wakes the driver when a reply arrives.
    on_reply: Option<Waker>,
    is_over: bool,
}

impl Connection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics")
    }

    fn queue(&self) {
        let mut state = self.lock();
        state.queued += 1;
        let waker = state.on_request.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The server replies to a request.
    fn reply(&self) {
        let mut state = self.lock();
        while state.arrived + state.read == state.written {
            state = self.changed.wait(state).expect("no thread panics");
        }
        state.arrived += 1;
        let waker = state.on_reply.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn drive(&self, waker: &Waker, writes_only: bool) {
        let mut state = self.lock();
        let is_due = state.arrived > 0;
        if !is_due {
            state.on_reply = Some(waker.clone());
        } else if !writes_only {
            state.read += state.arrived;
            state.arrived = 0;
            state.on_reply = Some(waker.clone());
        }
        state.written += std::mem::take(&mut state.queued);
        state.on_request = Some(waker.clone());
        drop(state);
        self.changed.notify_all();
        if is_due && writes_only {
            waker.wake_by_ref();
        }
    }
}

/// Every request is written, by its caller or by the task, and the task reads every reply. If a wake-up is lost, the scenario
/// never ends, which the scheduler reports.
pub fn no_turn_loses_a_request_or_a_reply() {
    let (connection, turns) = (Arc::new(Connection::default()), Arc::<Turns>::default());
    let waker = Waker::from(turns.clone());
    let task = thread::spawn({
        let (connection, turns, waker) = (connection.clone(), turns.clone(), waker.clone());
        move || {
            blocking::wait(poll_fn(|context| {
                turns.set_task(context.waker());
                match turns.begin() {
                    Some(_turn) => connection.drive(&waker, false),
                    None => waker.wake_by_ref(),
                }
                match connection.lock().is_over {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            }))
        }
    });
    for _ in 0..REQUESTS {
        let (connection, turns, waker) = (connection.clone(), turns.clone(), waker.clone());
        thread::spawn(move || {
            let turn = turns.begin();
            connection.queue();
            if let Some(turn) = turn {
                turn.restart();
                connection.drive(&waker, true);
            }
        });
    }
    for _ in 0..REQUESTS {
        connection.reply();
    }
    let mut state = connection.lock();
    while state.read < REQUESTS {
        state = connection.changed.wait(state).expect("no thread panics");
    }
    state.is_over = true;
    drop(state);
    waker.wake();
    task.join().expect("no thread panics");
}
