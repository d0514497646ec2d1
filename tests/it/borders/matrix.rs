//! Runs every cell of the matrix: operations, places, and the runtimes that begin them.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::cell::{Cell, WARM};
use super::functions::{Gate, compute_blocking};
use super::process::{fail, is_long, note};

/// The short suite runs a quarter of the cells once, the long one runs every cell 100 times. A quarter has every operation
/// at every place, on runtimes of three kinds.
fn cells() -> Vec<Cell> {
    let mut at = 0;
    let mut cells = Cell::all();
    cells.retain(|_| {
        at += 1;
        is_long() || at % 4 == at / 12 % 4
    });
    cells
}

fn rounds() -> usize {
    if is_long() { 100 } else { 1 }
}

pub(super) fn run() {
    let start = Instant::now();
    compute_blocking(WARM, &Gate::default()).expect("the store works");
    let cells = cells();
    let count = cells.len();
    let queue = Mutex::new(cells.into_iter());
    let slowest = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        // Some at a time, because most cells wait for the store.
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(cell) = next(&queue) {
                    // The parent waits for a line only so long.
                    if is_long() {
                        note(format_args!("{cell}"));
                    }
                    let elapsed = run_rounds(cell);
                    let mut slowest = slowest.lock().expect("no thread panicked");
                    *slowest = elapsed.max(*slowest);
                }
            });
        }
    });
    note(format_args!(
        "{count} cells × {} rounds in {:.1?}, the slowest took {:.1?}",
        rounds(),
        start.elapsed(),
        slowest.into_inner().expect("no thread panicked")
    ));
}

fn next(queue: &Mutex<std::vec::IntoIter<Cell>>) -> Option<Cell> {
    queue.lock().expect("no thread panicked").next()
}

/// Returns the time of the slowest round. Stops at the first failure.
fn run_rounds(cell: Cell) -> Duration {
    let mut slowest = Duration::ZERO;
    for round in 0..rounds() {
        match cell.run() {
            Ok(elapsed) if elapsed <= cell.limit() => slowest = slowest.max(elapsed),
            Ok(elapsed) => {
                fail(format_args!("{cell}: took {elapsed:.1?} in round {round}"));
                return elapsed;
            }
            Err(what) => {
                fail(format_args!("{cell}: {what} in round {round}"));
                return slowest;
            }
        }
    }
    slowest
}
