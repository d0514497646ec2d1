//! The turns of a driver, which the task and two callers make.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use crate::rt::blocking;
use crate::turns::Turns;

const SENT: u32 = 2;

/// A connection: `queued` requests, of which `written` ones are written.
#[derive(Default)]
struct Connection {
    requests: Mutex<Requests>,
    written: Condvar,
}

#[derive(Default)]
struct Requests {
    queued: u32,
    written: u32,
    waker: Option<Waker>,
    is_over: bool,
}

impl Connection {
    fn queue(&self) {
        let mut requests = self.requests.lock().expect("no thread panics");
        requests.queued += 1;
        let waker = requests.waker.take();
        drop(requests);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn drive(&self, waker: &Waker) {
        let mut requests = self.requests.lock().expect("no thread panics");
        requests.written += requests.queued;
        requests.queued = 0;
        requests.waker = Some(waker.clone());
        self.written.notify_all();
    }
}

/// Every request is written, by its caller or by the task. If a wake-up is lost, the scenario never ends, which the scheduler
/// reports.
pub fn a_request_that_is_queued_during_a_turn_is_written() {
    let (connection, turns) = (Arc::new(Connection::default()), Arc::<Turns>::default());
    let waker = Waker::from(turns.clone());
    let task = thread::spawn({
        let (connection, turns, waker) = (connection.clone(), turns.clone(), waker.clone());
        move || {
            blocking::wait(poll_fn(|context| {
                turns.set_task(context.waker());
                if let Some(_turn) = turns.begin() {
                    connection.drive(&waker);
                }
                match connection.requests.lock().expect("no thread panics").is_over {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            }))
        }
    });
    for _ in 0..SENT {
        let (connection, turns, waker) = (connection.clone(), turns.clone(), waker.clone());
        thread::spawn(move || {
            let turn = turns.begin();
            connection.queue();
            if let Some(turn) = turn {
                turn.restart();
                connection.drive(&waker);
            }
        });
    }
    let mut requests = connection.requests.lock().expect("no thread panics");
    while requests.written < SENT {
        requests = connection.written.wait(requests).expect("no thread panics");
    }
    requests.is_over = true;
    drop(requests);
    waker.wake();
    task.join().expect("no thread panics");
}
