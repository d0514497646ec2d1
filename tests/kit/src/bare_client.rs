//! A client and a server without a library between them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two round trips.
const PAUSE: Duration = Duration::from_millis(1);

/// An operation of the library wakes at most as many threads, one after the other, as so many round trips.
const ROUND_TRIPS: u32 = 4;

/// Sends a byte over the loopback interface and back, all the time, and times each round trip. So it knows how long a loaded
/// machine delays every program, and a test of a time can allow for that.
#[derive(Debug)]
pub struct BareClient(Arc<Mutex<RoundTrips>>);

#[derive(Debug)]
struct RoundTrips {
    /// When the current one began, or when the next one is due.
    current: Instant,
    slowest: Duration,
}

impl BareClient {
    /// Starts the client and its server, on two threads. They end when this is dropped.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of the loopback address");
        let address = listener.local_addr().expect("a bound address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client connects");
            stream.set_nodelay(true).expect("a TCP stream");
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        });
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        let round_trips = Arc::new(Mutex::new(RoundTrips {
            current: Instant::now(),
            slowest: Duration::ZERO,
        }));
        let client = Arc::downgrade(&round_trips);
        thread::spawn(move || {
            let mut begin = Instant::now();
            while stream.write_all(&[1]).is_ok() && stream.read_exact(&mut [0]).is_ok() {
                let Some(round_trips) = client.upgrade() else {
                    return;
                };
                let end = Instant::now();
                // A late wake-up is a part of the next round trip.
                let next = end + PAUSE;
                {
                    let mut round_trips = lock(&round_trips);
                    round_trips.slowest = round_trips.slowest.max(end.saturating_duration_since(begin));
                    round_trips.current = next;
                }
                drop(round_trips);
                begin = next;
                thread::sleep(PAUSE);
            }
        });
        Self(round_trips)
    }

    /// How long the machine may delay an operation of the library: several times the slowest round trip so far.
    pub fn delay(&self) -> Duration {
        let round_trips = lock(&self.0);
        ROUND_TRIPS * round_trips.slowest.max(round_trips.current.elapsed())
    }
}

fn lock(round_trips: &Mutex<RoundTrips>) -> MutexGuard<'_, RoundTrips> {
    round_trips.lock().expect("no thread panics")
}
