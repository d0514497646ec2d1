//! One connection: what is read on one side is judged piece by piece, and written on the other side when its time has
//! come.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{self, Pieces};
use super::{At, Fate, Open, Shared, State};

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    /// When one side has closed it, or a test has cut it.
    #[default]
    Cut,
    /// With a reset.
    Reset,
    /// The client hears nothing of it.
    HalfOpen,
}

/// What becomes of a piece.
enum Judged {
    Passes,
    Lost,
    /// Its connection ends with it.
    Over,
}

/// What both directions of a connection know.
struct Line {
    shared: Arc<Shared>,
    end: Arc<Mutex<End>>,
    asked: Mutex<Asked>,
}

/// The steps that are not answered yet.
struct Asked {
    steps: VecDeque<String>,
    /// Something was answered since the last request.
    answered: bool,
}

pub(super) fn serve(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP stream");
    }
    let twin = |stream: &TcpStream| stream.try_clone().expect("a stream can be cloned");
    let end = Arc::<Mutex<End>>::default();
    shared.set(|state| {
        state.connections += 1;
        state.open.push(Open {
            client: twin(&client),
            server: twin(&server),
            end: end.clone(),
        });
    });
    let line = Arc::new(Line {
        shared: shared.clone(),
        end,
        asked: Mutex::new(Asked {
            steps: VecDeque::new(),
            answered: true,
        }),
    });
    pump(twin(&client), twin(&server), line.clone(), At::Request);
    pump(server, client, line, At::Reply);
}

fn pump(mut from: TcpStream, to: TcpStream, line: Arc<Line>, at: At) {
    let (send, due) = channel();
    let writer = to.try_clone().expect("a stream can be cloned");
    thread::spawn(move || write(writer, &due));
    thread::spawn(move || {
        let mut pieces = Pieces::default();
        let mut buffer = vec![0; 1 << 16];
        'open: while let Ok(length @ 1..) = from.read(&mut buffer) {
            let pieces = pieces.take(&buffer[..length]);
            if at == At::Request {
                line.count(&pieces);
            }
            for piece in pieces {
                match line.judge(&piece, at) {
                    Judged::Over => break 'open,
                    Judged::Lost => {}
                    Judged::Passes if send.send((line.due(at), piece)).is_ok() => {}
                    Judged::Passes => break 'open,
                }
            }
        }
        drop(send);
        if *line.end.lock().expect("no thread of the proxy panicked") == End::Cut {
            // Fails where the other direction, or a cut, was first.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}

fn write(mut to: TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    for (at, piece) in due {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            return;
        }
    }
}

impl Line {
    /// Holds the piece for as long as it has to be.
    fn judge(&self, piece: &[u8], at: At) -> Judged {
        let fate = match at {
            At::Request => self.request(piece),
            At::Reply if wire::is_push(piece) && self.shared.state().pushes_lost => return Judged::Lost,
            At::Reply if wire::is_push(piece) => None,
            At::Reply => self.reply(piece),
        };
        match fate {
            Some(Fate::Cut) => return Judged::Over,
            Some(Fate::Hold) => self.shared.pass(|state| state.rules.holds()),
            None => {}
        }
        self.shared.pass(|state| match at {
            At::Request => state.requests_stalled,
            At::Reply => state.replies_stalled,
        });
        if at == At::Reply {
            self.asked().answered = true;
        }
        match *self.end.lock().expect("no thread of the proxy panicked") {
            End::HalfOpen => Judged::Lost,
            End::Reset => Judged::Over,
            End::Cut => Judged::Passes,
        }
    }

    /// What comes together is one round trip, or belongs to the one that is under way.
    fn count(&self, requests: &[Vec<u8>]) {
        let new = std::mem::replace(&mut self.asked().answered, false);
        self.shared.set(|state| {
            if new {
                state.trips.push(Vec::new());
            }
            let trip = state.trips.last_mut().into_iter();
            trip.for_each(|trip| trip.extend(requests.iter().map(|request| wire::name(request))));
        });
    }

    fn request(&self, piece: &[u8]) -> Option<Fate> {
        let (step, fate) = self.change(|state| {
            let step = state.rules.step(piece);
            let fate = state.rules.meet(&step, At::Request);
            (step, fate)
        });
        self.asked().steps.push_back(step);
        fate
    }

    fn reply(&self, piece: &[u8]) -> Option<Fate> {
        let step = self.asked().steps.pop_front()?;
        self.change(|state| {
            state.rules.learn(&step, piece);
            state.rules.meet(&step, At::Reply)
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.shared.set(|state| result = Some(change(state)));
        result.expect("it was changed")
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().expect("no thread of the proxy panicked")
    }

    /// When a piece that has come now arrives.
    fn due(&self, at: At) -> Instant {
        let delay = self.shared.state().delay;
        let fixed = match at {
            At::Request => delay.request,
            At::Reply => delay.reply,
        };
        Instant::now() + fixed + delay.jitter.mul_f64(random())
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    f64::from(RandomState::new().hash_one(Duration::ZERO) as u32) / f64::from(u32::MAX)
}
