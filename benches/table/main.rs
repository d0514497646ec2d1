//! dspinlock compared with the plain Redis commands that do the same work.
//!
//! `cargo bench --bench table` starts its own servers and prints the table. `-- NAME` runs only the rows whose name contains
//! NAME. `-- --plot` draws the two plots of the README.
//!
//! # How to read the table
//!
//! | column | meaning |
//! |---|---|
//! | workload | what is measured |
//! | dspinlock | median of dspinlock |
//! | baseline | median of the baseline; `-` if there is none |
//! | ratio | median of dspinlock / baseline, taken pair by pair |
//! | target | the intended bound of the ratio; of dspinlock's figure if the target has a unit or there is no ratio |
//! | baseline is | the commands that the baseline sends |
//!
//! A figure in µs is the duration of one call, so that a ratio below 1 means that dspinlock is faster. A figure in /s is the
//! number of calls per second, so that a ratio above 1 means that dspinlock is faster. A figure in B is the memory that an
//! entry occupies beyond its payload.
//!
//! dspinlock and the baseline run alternately, and each pair gives one ratio. If the speed of the machine changes during the
//! run, both figures change, but the ratio hardly does. For the rows with one caller, the server and the client are pinned
//! to one CPU.

mod bare;
mod contended_lock;
mod functions;
mod hand_over;
mod many_callers;
mod measure;
mod memory;
mod one_caller;
mod plot;
mod short_runtimes;
mod stampede;
mod waiters;
mod worker;

use dspinlock_testkit::Redis;

use crate::measure::Row;

/// Measures one workload on the server at a URL.
type Measure = fn(&str) -> Vec<Row>;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some("--worker") => worker::main(&arguments[1]),
        Some("--one-cpu") => one_cpu(&arguments[1], arguments.get(2).map_or("", String::as_str)),
        Some("--plot") => plot::all(),
        Some(plot::HITS) => {
            init(&arguments[1]);
            plot::hits(&arguments[1]);
        }
        filter => table(filter.unwrap_or_default()),
    }
}

/// Prints all rows. Those with one caller run in a process that is pinned to the CPU of its server.
fn table(filter: &str) {
    println!("{}", Row::HEADER);
    let pinned = Redis::start();
    measure::pin(pinned.id());
    measure::run_pinned(&["--one-cpu", &pinned.url(), filter]);
    drop(pinned);
    let redis = Redis::start();
    let url = redis.url();
    init(&url);
    let rows: [(&str, Measure); 10] = [
        ("hits, 64 tasks", many_callers::tasks),
        ("hits, 64 threads", many_callers::threads),
        ("hits, 1,000 keys", many_callers::keys),
        ("hand-over", hand_over::row),
        ("stampede", stampede::rows),
        ("10,000 waiters", waiters::rows),
        ("contended lock", contended_lock::row),
        ("1,000 runtimes", short_runtimes::row),
        ("memory, Redis", memory::on_redis),
        ("memory, Valkey", memory::on_valkey),
    ];
    for (name, row) in rows {
        if name.contains(filter) {
            row(&url).iter().for_each(|row| println!("{row}"));
        }
    }
}

fn one_cpu(url: &str, filter: &str) {
    init(url);
    let rows: [(&str, Measure); 4] = [
        ("hit, one async caller", one_caller::warm_async),
        ("hit, one sync caller", one_caller::warm_sync),
        ("cold call", one_caller::cold),
        ("lock and unlock", one_caller::uncached),
    ];
    for (name, row) in rows {
        if name.contains(filter) {
            row(url).iter().for_each(|row| println!("{row}"));
        }
    }
}

fn init(url: &str) {
    dspinlock::init(dspinlock::Pool::open(url).expect("the pool opens"))
        .expect("no other pool is initialized");
}
