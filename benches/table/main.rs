//! dspinlock compared with the plain Redis commands that do the same work.
//!
//! `cargo bench --features tls --bench 'table*'` starts its own servers and prints the table. `-- NAME` runs only the sections
//! whose name contains NAME. `-- --plot` draws the two plots of the README.
//!
//! # How to read the table
//!
//! | column | meaning |
//! |---|---|
//! | workload | what is measured |
//! | CPUs | `one`: the server and the client are pinned to one CPU; `all`: they are not pinned; `TLS`: with TLS |
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
//! dspinlock and the baselines run alternately, and each round gives one ratio. If the speed of the machine changes during
//! the run, all figures change, but the ratio hardly does.
//!
//! Keys have one of two encodings (`docs/wire-format.md`). Rows of annotated functions measure the single encoding. Rows of
//! explicit locks (`HashDSpinlock`), and rows that say so, measure the shared encoding.
//!
//! The asynchronous baselines use the multiplexed connection of the `redis` crate with `TCP_NODELAY`. The rows of hits have a
//! second baseline, the default of that crate, with Nagle's algorithm.

mod bare;
mod contended_lock;
mod functions;
mod hand_over;
mod many_callers;
mod measure;
mod memory;
mod near_hit;
mod one_caller;
mod plot;
mod server_time;
mod short_runtimes;
mod stampede;
mod waiters;
mod worker;

use dspinlock_testkit::{Redis, Tls};

use crate::measure::{Row, own_program, print_header};

/// Measures one section of the table on the server at a URL.
type Measure = fn(&str) -> Vec<Row>;

/// Where a section runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    OneCpu,
    AllCpus,
    OneCpuTls,
    AllCpusTls,
}

use On::{AllCpus, AllCpusTls, OneCpu, OneCpuTls};

/// Each section runs in a separate process, in each of these places. The targets are meant for the first one.
const SECTIONS: [(&str, &[On], Measure); 16] = [
    (
        "hit, one async caller",
        &[OneCpu, AllCpus, OneCpuTls],
        one_caller::warm_async,
    ),
    ("hit, one sync caller", &[OneCpu, AllCpus], one_caller::warm_sync),
    ("hits, tasks", &[AllCpus, OneCpu, AllCpusTls], many_callers::tasks),
    ("hits, threads", &[AllCpus], many_callers::threads),
    ("near hit", &[OneCpu], near_hit::rows),
    ("near hit, two threads", &[AllCpus], near_hit::two_threads),
    ("cold call", &[OneCpu, AllCpus], one_caller::cold),
    ("lock and unlock", &[OneCpu, AllCpus], one_caller::uncached),
    ("contended lock", &[AllCpus], contended_lock::rows),
    ("hand-over", &[AllCpus], hand_over::rows),
    ("stampede", &[AllCpus], stampede::rows),
    ("10,000 waiters", &[AllCpus], waiters::rows),
    ("server time", &[OneCpu], server_time::rows),
    ("1,000 runtimes", &[AllCpus], short_runtimes::rows),
    ("memory, Redis", &[AllCpus], memory::on_redis),
    ("memory, Valkey", &[AllCpus], memory::on_valkey),
];

impl On {
    fn label(self) -> &'static str {
        match self {
            OneCpu => "one",
            AllCpus => "all",
            OneCpuTls => "one, TLS",
            AllCpusTls => "all, TLS",
        }
    }

    fn is_pinned(self) -> bool {
        matches!(self, OneCpu | OneCpuTls)
    }

    fn url(self, server: &Redis) -> String {
        match self {
            OneCpu | AllCpus => server.url(),
            OneCpuTls | AllCpusTls => bare::tls_url(server),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--worker", url] => worker::main(url),
        ["--section", name, place, url] => section(name, place, url),
        ["--plot"] => plot::all(),
        [plot::HITS, url] => plot::hits(url),
        [] => table(""),
        [filter] => table(filter),
        _ => panic!("expected one NAME, or --plot"),
    }
}

fn table(filter: &str) {
    print_header();
    let servers = [true, false].map(|pinned| {
        let server = Redis::tls(Tls::default());
        if pinned {
            measure::pin(server.id());
        }
        server
    });
    for (name, places, _) in SECTIONS {
        for place in places.iter().filter(|_| name.contains(filter)) {
            let url = place.url(&servers[usize::from(!place.is_pinned())]);
            let mut command = own_program(&url, place.is_pinned());
            let status = command.args(["--section", name, place.label(), &url]).status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "the section `{name}` failed"
            );
        }
    }
}

fn section(name: &str, place: &str, url: &str) {
    let (_, places, measure) = SECTIONS
        .into_iter()
        .find(|section| section.0 == name)
        .expect("the section exists");
    if url.starts_with("rediss:") && !cfg!(feature = "tls") {
        return Row::fact(name, "not measured", "").print("run with `--features tls`", false);
    }
    for row in measure(url) {
        row.print(place, place == places[0].label());
    }
}
