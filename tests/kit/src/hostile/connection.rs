//! One connection of a hostile server: requests go to the real server, and each reply comes back honest or attacked.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Shared, Target};
use crate::proxy::wire::{self, Frames};

/// A request without a reply.
struct Pending {
    step: String,
    /// `CLIENT CACHING` preceded it.
    is_watched: bool,
    /// The connection has not sent `HELLO`.
    is_reader: bool,
}

impl Pending {
    fn is(&self, target: Target) -> bool {
        match target {
            Target::Accept => false,
            Target::Reply(step) => self.step == step,
            Target::Reader => self.is_reader && self.step == "GETRANGE",
            Target::Watched(step) => self.is_watched && self.step == step,
            Target::Value => ["GETRANGE", "ACQUIRE"].contains(&self.step.as_str()),
        }
    }
}

type Queue = Arc<Mutex<VecDeque<Pending>>>;

pub(super) fn serve(mut client: TcpStream, shared: &Arc<Shared>) {
    let port = shared.state().server;
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP stream");
        shared.state().open.push(duplicate(stream));
    }
    let (queue, shared) = (Queue::default(), shared.clone());
    let (from, to, known, rules) = (
        duplicate(&client),
        duplicate(&server),
        queue.clone(),
        shared.clone(),
    );
    thread::spawn(move || requests(from, to, &known, &rules));
    thread::spawn(move || {
        let is_open = match shared.plan(|target| target == Target::Accept) {
            Some((attack, before)) => attack.run(&mut client, b"+OK\r\n", before, &shared),
            None => true,
        };
        if is_open {
            replies(&server, &mut client, &queue, &shared);
        }
        for stream in [client, server] {
            // Fails if the peer has closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}

fn duplicate(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("the stream can be cloned")
}

fn requests(mut from: TcpStream, mut to: TcpStream, queue: &Queue, shared: &Shared) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 1 << 16];
    let (mut is_reader, mut is_watched) = (true, false);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        for frame in frames.take(&buffer[..length]) {
            let step = shared.state().rules.step(&frame);
            is_reader &= step != "HELLO";
            let is_caching = step == "CLIENT" && wire::words(&frame).get(1) == Some(&&b"CACHING"[..]);
            queue
                .lock()
                .expect("the mutex is not poisoned")
                .push_back(Pending {
                    step,
                    is_watched,
                    is_reader,
                });
            is_watched = is_caching;
            if to.write_all(&frame).is_err() {
                return;
            }
        }
    }
    // Fails if the peer has closed it already.
    let _ = to.shutdown(Shutdown::Write);
}

fn replies(mut server: &TcpStream, client: &mut TcpStream, queue: &Queue, shared: &Shared) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        for frame in frames.take(&buffer[..length]) {
            let pending = match wire::is_push(&frame) {
                true => None,
                false => queue.lock().expect("the mutex is not poisoned").pop_front(),
            };
            let mut plan = None;
            if let Some(pending) = pending {
                shared.state().rules.learn(&pending.step, &frame);
                plan = shared.plan(|target| pending.is(target));
            }
            let is_open = match plan {
                Some((attack, before)) => attack.run(client, &frame, before, shared),
                None => client.write_all(&frame).is_ok(),
            };
            if !is_open {
                return;
            }
        }
    }
}
