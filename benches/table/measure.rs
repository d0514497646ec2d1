//! Medians, paired rounds, and rows of the table.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

/// One line of the table.
pub(crate) struct Row {
    workload: String,
    ours: String,
    other: String,
    /// What the other is.
    name: &'static str,
    ratio: f64,
    target: &'static str,
}

impl Row {
    pub(crate) const HEADER: &'static str = "workload                                      ours           other          ratio  target      other is";

    /// A row of medians in microseconds, each of `pairs` being ours and the other's.
    pub(crate) fn micros(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
    ) -> Self {
        Self::of(workload, name, target, pairs, |micros| format!("{micros:.1} µs"))
    }

    /// A row of medians in calls a second.
    pub(crate) fn rate(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
    ) -> Self {
        Self::of(workload, name, target, pairs, |rate| format!("{rate:.0} /s"))
    }

    /// A row of bytes.
    pub(crate) fn bytes(workload: impl Into<String>, name: &'static str, ours: f64, other: f64) -> Self {
        Self::of(workload, name, "", &[(ours, other)], |bytes| {
            format!("{bytes:.0} B")
        })
    }

    fn of(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
        show: fn(f64) -> String,
    ) -> Self {
        let ours = show(median(pairs.iter().map(|pair| pair.0).collect()));
        let other = show(median(pairs.iter().map(|pair| pair.1).collect()));
        let ratio = median(pairs.iter().map(|pair| pair.0 / pair.1).collect());
        Self {
            workload: workload.into(),
            ours,
            other,
            name,
            ratio,
            target,
        }
    }

    /// A row that stands for itself.
    pub(crate) fn fact(workload: impl Into<String>, fact: impl Into<String>, target: &'static str) -> Self {
        Self::facts(workload, "", target, [fact.into(), "-".into()])
    }

    /// A row of two facts that make no ratio.
    pub(crate) fn facts(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        [ours, other]: [String; 2],
    ) -> Self {
        Self {
            workload: workload.into(),
            ours,
            other,
            name,
            ratio: f64::NAN,
            target,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workload,
            ours,
            other,
            name,
            ratio,
            target,
        } = self;
        let ratio = if ratio.is_nan() {
            "-".into()
        } else {
            format!("{ratio:.2}")
        };
        write!(
            f,
            "{workload:<44}  {ours:<13}  {other:<13}  {ratio:>5}  {target:<10}  {name}"
        )
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}

/// The value below which this part of all lies.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

/// Least and most.
pub(crate) fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(least, most), value| {
        (value.min(least), value.max(most))
    })
}

/// Microseconds.
fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// How long each of `count` runs of one thing took, in microseconds.
pub(crate) fn times(count: usize, mut run: impl FnMut()) -> Vec<f64> {
    let times = (0..count).map(|_| {
        let start = Instant::now();
        run();
        micros(start.elapsed())
    });
    times.collect()
}

/// [`times`] of an async thing.
pub(crate) async fn times_async<F: Future>(count: usize, mut run: impl FnMut() -> F) -> Vec<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        run().await;
        times.push(micros(start.elapsed()));
    }
    times
}

/// Puts a process and its threads on CPU 0.
pub(crate) fn pin(process: u32) {
    let pinned = Command::new("taskset")
        .args(["-a", "-p", "-c", "0", &process.to_string()])
        .output();
    assert!(
        pinned.is_ok_and(|output| output.status.success()),
        "taskset (util-linux) is needed"
    );
}

/// Runs this program with such arguments in a process of its own on CPU 0.
pub(crate) fn run_pinned(arguments: &[&str]) {
    let program = std::env::current_exe().expect("this program");
    let status = Command::new("taskset")
        .args(["-c", "0"])
        .arg(program)
        .args(arguments)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "what was pinned to one CPU has failed"
    );
}
