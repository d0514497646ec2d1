//! One proxied connection: frames that are read on one side are held, dropped or delayed, then written on the other side.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::state::{Open, Shared, State};
use super::types::{Action, End, Stage};
use super::wire::{self, Frames};

/// What happens to a frame.
enum Decision {
    Forward,
    Drop,
    /// The frame is dropped and its connection ends.
    Close,
}

/// The state that both directions of a connection share.
struct Connection {
    shared: Arc<Shared>,
    end: Arc<Mutex<End>>,
    pending: Mutex<Pending>,
}

/// The steps without a reply.
struct Pending {
    steps: VecDeque<String>,
    /// Whether a reply was forwarded since the last request.
    replied: bool,
}

pub(super) fn serve(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP stream");
    }
    let duplicate = |stream: &TcpStream| stream.try_clone().expect("the stream can be cloned");
    let end = Arc::<Mutex<End>>::default();
    shared.set(|state| {
        state.connections += 1;
        state.open.push(Open {
            client: duplicate(&client),
            server: duplicate(&server),
            end: end.clone(),
        });
    });
    let connection = Arc::new(Connection {
        shared: shared.clone(),
        end,
        pending: Mutex::new(Pending {
            steps: VecDeque::new(),
            replied: true,
        }),
    });
    pump(
        duplicate(&client),
        duplicate(&server),
        connection.clone(),
        Stage::Request,
    );
    pump(server, client, connection, Stage::Reply);
}

fn pump(mut from: TcpStream, to: TcpStream, connection: Arc<Connection>, stage: Stage) {
    let (send, receive) = channel();
    let writer = to.try_clone().expect("the stream can be cloned");
    thread::spawn(move || write(writer, &receive));
    thread::spawn(move || {
        let mut frames = Frames::default();
        let mut buffer = vec![0; 1 << 16];
        'open: while let Ok(length @ 1..) = from.read(&mut buffer) {
            let complete = frames.take(&buffer[..length]);
            match stage {
                Stage::Request => connection.count(&complete),
                Stage::Reply => connection.shared.set(|state| state.replied += length),
            }
            for frame in complete {
                match connection.decide(&frame, stage) {
                    Decision::Close => break 'open,
                    Decision::Drop => {}
                    Decision::Forward if send.send((connection.due(stage), frame)).is_ok() => {}
                    Decision::Forward => break 'open,
                }
            }
        }
        drop(send);
        if *connection.end.lock().expect("the mutex is not poisoned") == End::Close {
            // Fails if the connection is closed already.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}

fn write(mut to: TcpStream, frames: &Receiver<(Instant, Vec<u8>)>) {
    for (due, frame) in frames {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&frame).is_err() {
            return;
        }
    }
}

impl Connection {
    /// Blocks while the frame is held, then decides what happens to it.
    fn decide(&self, frame: &[u8], stage: Stage) -> Decision {
        let action = match stage {
            Stage::Request => self.request(frame),
            Stage::Reply if wire::is_push(frame) && self.shared.state().pushes_dropped => {
                return Decision::Drop;
            }
            Stage::Reply if wire::is_push(frame) => None,
            Stage::Reply => self.reply(frame),
        };
        match action {
            Some(Action::Disconnect) => return Decision::Close,
            Some(Action::Hold) => self.shared.pass(|state| state.rules.holds()),
            None => {}
        }
        self.shared.pass(|state| match stage {
            Stage::Request => state.requests_stalled,
            Stage::Reply => state.replies_stalled,
        });
        if stage == Stage::Reply {
            self.pending().replied = true;
        }
        match *self.end.lock().expect("the mutex is not poisoned") {
            End::HalfOpen => Decision::Drop,
            End::Reset => Decision::Close,
            End::Close | End::Cut => Decision::Forward,
        }
    }

    /// Records a round trip, or adds the requests to the current one.
    fn count(&self, requests: &[Vec<u8>]) {
        let new = std::mem::replace(&mut self.pending().replied, false);
        self.shared.set(|state| {
            if new {
                state.trips.push(Vec::new());
            }
            let trip = state.trips.last_mut().into_iter();
            trip.for_each(|trip| trip.extend(requests.iter().map(|request| wire::name(request))));
        });
    }

    fn request(&self, frame: &[u8]) -> Option<Action> {
        let (step, action) = self.change(|state| {
            let step = state.rules.step(frame);
            let action = state.rules.apply(&step, Stage::Request);
            (step, action)
        });
        self.pending().steps.push_back(step);
        action
    }

    fn reply(&self, frame: &[u8]) -> Option<Action> {
        let step = self.pending().steps.pop_front()?;
        self.change(|state| {
            state.rules.learn(&step, frame);
            state.rules.apply(&step, Stage::Reply)
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.shared.set(|state| result = Some(change(state)));
        result.expect("`set` calls the closure")
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("the mutex is not poisoned")
    }

    /// When a frame that was read now is written.
    fn due(&self, stage: Stage) -> Instant {
        let delay = self.shared.state().delay;
        let fixed = match stage {
            Stage::Request => delay.request,
            Stage::Reply => delay.reply,
        };
        Instant::now() + fixed + delay.jitter.mul_f64(random())
    }
}

/// A random number between 0 and 1.
fn random() -> f64 {
    f64::from(RandomState::new().hash_one(Duration::ZERO) as u32) / f64::from(u32::MAX)
}
