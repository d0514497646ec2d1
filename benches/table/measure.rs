//! Rows of the table, statistics, timing, and CPU pinning.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

/// One line of the table.
pub(crate) struct Row {
    workload: String,
    ours: String,
    baseline: String,
    /// What the baseline is.
    name: &'static str,
    ratio: f64,
    target: &'static str,
}

impl Row {
    pub(crate) const HEADER: &'static str = "workload                                      dspinlock      baseline       ratio  target      baseline is";

    /// A row of durations in microseconds. Each pair is dspinlock and the baseline.
    pub(crate) fn micros(
        workload: impl Into<String>,
        name: &'static str,
        target: &'static str,
        pairs: &[(f64, f64)],
    ) -> Self {
        Self::of(workload, name, target, pairs, |micros| format!("{micros:.1} µs"))
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
    pub(crate) fn bytes(workload: impl Into<String>, name: &'static str, ours: f64, baseline: f64) -> Self {
        Self::of(workload, name, "", &[(ours, baseline)], |bytes| {
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
        let baseline = show(median(pairs.iter().map(|pair| pair.1).collect()));
        let ratio = median(pairs.iter().map(|pair| pair.0 / pair.1).collect());
        Self {
            workload: workload.into(),
            ours,
            baseline,
            name,
            ratio,
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
            baseline,
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
            "{workload:<44}  {ours:<13}  {baseline:<13}  {ratio:>5}  {target:<10}  {name}"
        )
    }
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

/// Runs this program with the given arguments in a new process on CPU 0.
pub(crate) fn run_pinned(arguments: &[&str]) {
    let program = std::env::current_exe().expect("the path of this program");
    let status = Command::new("taskset")
        .args(["-c", "0"])
        .arg(program)
        .args(arguments)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the pinned process failed"
    );
}
