//! Rows of the table, statistics, timing, and CPU pinning.

use std::process::Command;
use std::time::{Duration, Instant};

/// One line of the table.
#[derive(Clone)]
pub(crate) struct Row {
    workload: String,
    ours: String,
    baseline: String,
    /// What the baseline is.
    name: &'static str,
    ratio: Option<f64>,
    target: &'static str,
}

/// Prints the head of the table.
pub(crate) fn print_header() {
    let names = [
        "workload",
        "CPUs",
        "dspinlock",
        "baseline",
        "ratio",
        "target",
        "baseline is",
    ];
    println!("{}", line(names));
    println!("{}", line(["---"; 7]));
}

fn line([workload, cpus, ours, baseline, ratio, target, name]: [&str; 7]) -> String {
    format!(
        "| {workload:<48} | {cpus:<6} | {ours:<12} | {baseline:<12} | {ratio:>5} | {target:<9} | {name:<24} |"
    )
}

impl Row {
    /// A row of durations in microseconds. Each pair is dspinlock and the baseline.
    pub(crate) fn micros(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
    ) -> Self {
        Self::of(workload, name, target, pairs, |micros| match micros {
            ..10.0 => format!("{micros:.2} µs"),
            _ => format!("{micros:.1} µs"),
        })
    }

    /// A row of calls per second. Each pair is dspinlock and the baseline.
    pub(crate) fn rate(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
    ) -> Self {
        Self::of(workload, name, target, pairs, |rate| format!("{rate:.0} /s"))
    }

    /// A row of bytes.
    pub(crate) fn bytes(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pair: (f64, f64),
    ) -> Self {
        Self::of(workload, name, target, &[pair], |bytes| format!("{bytes:.0} B"))
    }

    fn of(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
        show: fn(f64) -> String,
    ) -> Self {
        let of = |value: fn(&(f64, f64)) -> f64| median(pairs.iter().map(value).collect());
        Self {
            workload: workload.into(),
            ours: show(of(|pair| pair.0)),
            baseline: show(of(|pair| pair.1)),
            name,
            ratio: Some(of(|pair| pair.0 / pair.1)),
            target,
        }
    }

    /// A row without a baseline.
    pub(crate) fn fact(workload: impl Into<String>, fact: impl Into<String>, target: &'static str) -> Self {
        Self::facts(workload, "", target, [fact.into(), "-".into()])
    }

    /// A row whose figures have no ratio.
    pub(crate) fn facts(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        [ours, baseline]: [String; 2],
    ) -> Self {
        Self {
            workload: workload.into(),
            ours,
            baseline,
            name,
            ratio: None,
            target,
        }
    }

    /// Prints the row. `cpus` names the environment, and `has_target` says whether the target is meant for it.
    pub(crate) fn print(&self, cpus: &str, has_target: bool) {
        let ratio = self.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
        let target = if has_target { self.target } else { "" };
        let Self {
            workload,
            ours,
            baseline,
            name,
            ..
        } = self;
        println!("{}", line([workload, cpus, ours, baseline, &ratio, target, name]));
    }
}

/// The pairs of the first figure of each round and of its figure number `baseline`.
pub(crate) fn pairs<const N: usize>(rounds: &[[f64; N]], baseline: usize) -> Vec<(f64, f64)> {
    rounds.iter().map(|round| (round[0], round[baseline])).collect()
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}

/// The quantile `part`, between 0 and 1.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

/// Minimum and maximum.
pub(crate) fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(min, max), value| {
        (value.min(min), value.max(max))
    })
}

/// A duration in microseconds.
fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Durations of `count` runs, in microseconds.
pub(crate) fn times(count: usize, mut run: impl FnMut()) -> Vec<f64> {
    let times = (0..count).map(|_| {
        let start = Instant::now();
        run();
        micros(start.elapsed())
    });
    times.collect()
}

/// [`times`] for async code.
pub(crate) async fn times_async<F: Future>(count: usize, mut run: impl FnMut() -> F) -> Vec<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        run().await;
        times.push(micros(start.elapsed()));
    }
    times
}

/// Pins a process and its threads to CPU 0.
pub(crate) fn pin(process: u32) {
    let pinned = Command::new("taskset")
        .args(["-a", "-p", "-c", "0", &process.to_string()])
        .output();
    assert!(
        pinned.is_ok_and(|output| output.status.success()),
        "cannot pin a process: install `taskset` (util-linux)"
    );
}

/// A command that runs this program again, on CPU 0 if it is `pinned`. The library uses the server at `url`.
pub(crate) fn own_program(url: &str, pinned: bool) -> Command {
    let program = std::env::current_exe().expect("the path of this program");
    let mut command = if pinned {
        let mut taskset = Command::new("taskset");
        taskset.args(["-c", "0"]).arg(program);
        taskset
    } else {
        Command::new(program)
    };
    command.env("DSPINLOCK_URL", url);
    command
}
