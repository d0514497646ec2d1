//! One cell of the matrix.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::operation::{Operation, Work, assert_hit, poll_once};
use super::place::Place;
use super::process::is_long;
use super::runtime::{Flavor, each};

/// A cell that takes longer hangs.
const HANG: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    operation: Operation,
    place: Place,
    /// Whether the rest was polled once on the first runtime.
    begun: bool,
    flavor: Flavor,
    tasks: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begun = if self.begun { " begun" } else { "" };
        let (operation, place) = (self.operation, self.place);
        write!(
            f,
            "{operation:?}{begun} × {place:?} ({:?}, {} tasks)",
            self.flavor, self.tasks
        )
    }
}

impl Cell {
    pub(super) fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for operation in Operation::ALL {
            for place in Place::ALL {
                for begun in [false, true] {
                    cells.extend(Self::sizes(operation, place, begun).filter(|cell| cell.exists()));
                }
            }
        }
        cells
    }

    fn exists(&self) -> bool {
        match self.place {
            // Each of the calls that nobody polls delays its twin by 100 ms or more, and they share a thread.
            Place::BlockingTwin if self.begun => self.operation == Operation::Hit && self.tasks == 1,
            Place::BlockingTwin => self.operation.has_twin(),
            _ => !self.begun || self.operation.can_be_begun(),
        }
    }

    /// How long the operations may take behind the border. The short suite runs beside all other tests.
    pub(super) fn limit(&self) -> Duration {
        let limit = Duration::from_secs(1) + Duration::from_millis(20) * self.tasks as u32;
        if is_long() { limit } else { 4 * limit }
    }

    fn sizes(operation: Operation, place: Place, begun: bool) -> impl Iterator<Item = Self> {
        let sizes = Flavor::ALL
            .into_iter()
            .flat_map(|flavor| [1, 8, 64].map(|tasks| (flavor, tasks)));
        sizes.map(move |(flavor, tasks)| Self {
            operation,
            place,
            begun,
            flavor,
            tasks,
        })
    }

    /// Runs the cell on a thread of its own. Returns how long the operations took behind the border, or what failed.
    pub(super) fn run(self) -> Result<Duration, &'static str> {
        let (send, result) = channel();
        let thread = thread::Builder::new().name(self.to_string());
        thread
            .spawn(move || {
                // Fails if the cell was too slow.
                let _ = send.send(self.cross());
            })
            .expect("a thread");
        match result.recv_timeout(HANG) {
            Ok(elapsed) => Ok(elapsed),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err("hangs"),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err("panicked"),
        }
    }

    fn cross(self) -> Duration {
        let name = self.to_string();
        let origin = self.flavor.build(&name);
        // So many hits that the runtime has everything it may get for them.
        each(
            &origin,
            std::iter::once(async {
                for _ in 0..10 {
                    assert_hit(WARM).await;
                }
            }),
        );
        let keys: Vec<String> = (0..self.tasks).map(|_| unique_key()).collect();
        let works = each(&origin, keys.iter().cloned().map(|key| self.prepare(key)));
        let start = Instant::now();
        self.place.finish(&name, self.flavor, origin, works);
        let elapsed = start.elapsed();
        keys.iter().for_each(|key| self.operation.check(key));
        elapsed
    }

    async fn prepare(self, key: String) -> Work {
        if self.place == Place::BlockingTwin {
            return self.operation.prepare_twin(key, self.begun).await;
        }
        let mut work = self.operation.prepare(key).await;
        if self.begun && poll_once(&mut work).await.is_some() {
            return Box::pin(async {});
        }
        work
    }
}

/// The key of a stored value.
pub(super) const WARM: &str = "warm";

pub(super) fn unique_key() -> String {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    format!("key {}", LAST.fetch_add(1, Ordering::Relaxed))
}
