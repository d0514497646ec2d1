//! Draws the plots of the README, `docs/hit.svg` and `docs/stampede.svg`: `cargo bench --bench table -- --plot`.

mod svg;

use std::path::Path;

use dspinlock_testkit::Redis;

use crate::measure::{extremes, median, own_program, pin, quantile};
use crate::one_caller;
use crate::stampede::{self, Round};
use svg::{Axis, Svg};

/// Argument of the process that is pinned to one CPU and draws the plot of the hits.
pub(crate) const HITS: &str = "--plot-hits";

const OURS: (&str, &str) = ("ours", "dspinlock");

pub(crate) fn all() {
    let server = Redis::start();
    pin(server.id());
    let status = own_program(&server.url(), true)
        .args([HITS, &server.url()])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the pinned process failed"
    );
    drop(server);
    stampede(&Redis::start().url());
}

fn write(name: &str, svg: &Svg) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    std::fs::create_dir_all(&folder).expect("the folder can be created");
    let file = folder.join(name);
    std::fs::write(&file, svg.to_string()).expect("the file can be written");
    println!("{}", file.display());
}

/// Draws the distribution of the duration of a hit.
pub(crate) fn hits(url: &str) {
    const WIDTH: f64 = 400.0;
    let mut svg = Svg::new(880.0, 320.0);
    svg.title("Duration of a hit: one async caller, client and server on one CPU");
    svg.legend(&[OURS, ("bare", "GET over the redis crate")]);
    for (panel, (bytes, label)) in [(100, "100 B"), (10 * 1024, "10 KiB")].into_iter().enumerate() {
        let rounds = one_caller::hits(url, bytes, 15, 1_000);
        let [mut ours, mut bare] = [0, 1].map(|side| {
            let times = rounds.iter().map(|round| round[side].as_slice());
            times.collect::<Vec<_>>().concat()
        });
        let max = quantile(&mut ours, 0.99).max(quantile(&mut bare, 0.99));
        let left = 56.0 + panel as f64 * (WIDTH + 24.0);
        let x = Axis::new((0.0, max), (left, left + WIDTH - 40.0));
        let y = Axis::new((0.0, 100.0), (262.0, 90.0));
        svg.x_axis(&x, &y, "µs", &format!("a value of {label}"));
        svg.y_axis(&x, &y, if panel == 0 { "% of calls" } else { "" });
        for (class, times, lift) in [("bare", &mut bare, 34.0), ("ours", &mut ours, 52.0)] {
            let curve = (1..=99).map(|percent| {
                let time = quantile(times, f64::from(percent) / 100.0);
                (x.at(time), y.at(f64::from(percent)))
            });
            svg.curve(class, curve);
            let half = format!("p50 {:.1} µs", quantile(times, 0.5));
            svg.text(class, (x.at(0.0) + 12.0, y.at(0.0) - 86.0 + lift), "start", &half);
        }
    }
    write("hit.svg", &svg);
}

/// Draws when each caller of a stampede had the value.
fn stampede(url: &str) {
    let mut rounds = stampede::of_tasks(url, 31);
    // The first round is slower, because no worker has a connection yet.
    rounds.remove(0);
    rounds.sort_by(|a, b| a.last(0).0.total_cmp(&b.last(0).0));
    let round = &rounds[rounds.len() / 2];
    let pushes: Vec<f64> = rounds.iter().map(|round| round.last(0).1).collect();
    let baseline = rounds
        .iter()
        .min_by(|a, b| {
            let off = |round: &Round| (round.last(0).1 - median(pushes.clone())).abs();
            off(a).total_cmp(&off(b))
        })
        .expect("there are rounds");
    let mut svg = Svg::new(880.0, 420.0);
    svg.title("256 callers in 8 processes wait for one value: when each caller receives it");
    svg.legend(&[OURS, ("bare", "a bare PUBLISH that wakes 256 tasks")]);
    let max = 1.04 * round.last(0).0.max(baseline.last(0).1) / 1000.0;
    let x = Axis::new((0.0, max), (96.0, 856.0));
    lanes(&mut svg, "ours", &x, (84.0, 212.0), &round.served);
    lanes(&mut svg, "bare", &x, (236.0, 364.0), &baseline.awake[0]);
    let y = Axis::new((0.0, 1.0), (364.0, 84.0));
    svg.x_axis(&x, &y, "ms", "after the end of the body, or after the PUBLISH");
    write("stampede.svg", &svg);
}

/// Draws one line of dots per process.
fn lanes(svg: &mut Svg, class: &str, x: &Axis, (top, bottom): (f64, f64), processes: &[Vec<f64>]) {
    let height = (bottom - top) / processes.len() as f64;
    for (process, times) in processes.iter().enumerate() {
        let middle = top + (process as f64 + 0.5) * height;
        let label = format!("process {}", process + 1);
        svg.text("soft", (86.0, middle + 4.0), "end", &label);
        for (caller, time) in times.iter().enumerate() {
            // Vertical offsets keep the dots apart.
            let off = (caller as f64 / times.len() as f64 - 0.5) * height * 0.6;
            svg.dot(class, (x.at(time / 1000.0), middle + off), 2.0);
        }
    }
    let (_, last) = extremes(&processes.concat());
    let at = x.at(last / 1000.0);
    svg.line(class, (at, top), (at, bottom));
    let label = format!("last after {:.2} ms", last / 1000.0);
    let (anchor, off) = if at > 700.0 { ("end", -6.0) } else { ("start", 6.0) };
    svg.text(class, (at + off, top - 4.0), anchor, &label);
}
