//! A slow link between clients and a server. It only delays bytes: it knows nothing about commands.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The bytes that one connection sends before the other ones have their turn.
const CHUNK: usize = 4096;

/// A TCP relay on a free port of 127.0.0.1. All its connections share one bandwidth in each direction.
#[derive(Debug)]
pub struct SlowLink {
    port: u16,
}

/// One direction of the link.
#[derive(Debug)]
struct Lane {
    bytes_per_second: f64,
    /// When the bytes that were sent so far have arrived.
    free_at: Mutex<Instant>,
}

impl SlowLink {
    /// Starts a link to the server on `port`, with the bandwidths of requests and of replies in bytes per second.
    pub fn start(port: u16, requests: u32, replies: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of the loopback address");
        let own = listener.local_addr().expect("a bound address").port();
        let (up, down) = (Lane::new(requests), Lane::new(replies));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    let duplicate =
                        |stream: &TcpStream| stream.try_clone().expect("the stream can be cloned");
                    relay(duplicate(&client), duplicate(&server), up.clone());
                    relay(server, client, down.clone());
                }
            }
        });
        Self { port: own }
    }

    /// `redis://127.0.0.1:port` of the link.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Lane {
    fn new(bytes_per_second: u32) -> Arc<Self> {
        Arc::new(Self {
            bytes_per_second: bytes_per_second.into(),
            free_at: Mutex::new(Instant::now()),
        })
    }

    /// Waits until so many bytes have arrived. They begin when the earlier bytes of all connections have arrived.
    fn carry(&self, bytes: usize) {
        let arrived = {
            let mut free_at = self.free_at.lock().expect("the mutex is not poisoned");
            let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
            *free_at = (*free_at).max(Instant::now()) + time;
            *free_at
        };
        thread::sleep(arrived.saturating_duration_since(Instant::now()));
    }
}

/// Reads no more than the lane carries, so that the sender notices that the link is slow.
fn relay(mut from: TcpStream, mut to: TcpStream, lane: Arc<Lane>) {
    to.set_nodelay(true).expect("a TCP stream");
    thread::spawn(move || {
        let mut buffer = [0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            lane.carry(length);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // Fails if the connection is closed already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
