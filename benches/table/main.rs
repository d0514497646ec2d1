//! `cargo bench --bench table`: starts its own Redis and prints one table of ratios to bare Redis, in paired rounds.
//!
//! A row runs ours and the other in turn, A B A B …, and shows the median of each and of the ratios of the pairs, so that
//! a machine whose speed drifts does not spoil the comparison. One-caller rows run with server and clients pinned to one
//! CPU. `cargo bench --bench table -- NAME` runs the rows whose name contains NAME, and `-- --plot` draws the README's plots.

mod bare;
mod contended;
mod functions;
mod hand_over;
mod measure;
mod memory;
mod plot;
mod runtimes;
mod single;
mod stampede;
mod waiters;
mod wide;
mod worker;

use dspinlock_testkit::Redis;

use crate::measure::Row;

/// Runs one workload on the server behind a URL.
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

/// Every row: those of one caller in a process of their own, which is pinned together with its server.
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
        ("warm, 64 tasks", wide::tasks),
        ("warm, 64 threads", wide::threads),
        ("1,000 keys in flight", wide::keys),
        ("hand-over", hand_over::row),
        ("stampede", stampede::rows),
        ("10,000 waiters", waiters::rows),
        ("contended mutex", contended::row),
        ("runtimes", runtimes::row),
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
        ("warm, one async caller", single::warm_async),
        ("warm, one sync caller", single::warm_sync),
        ("cold, one caller", single::cold),
        ("cold, one caller, not cached", single::uncached),
    ];
    for (name, row) in rows {
        if name.contains(filter) {
            row(url).iter().for_each(|row| println!("{row}"));
        }
    }
}

fn init(url: &str) {
    dspinlock::init(dspinlock::Pool::open(url).expect("a pool")).expect("the first pool");
}
