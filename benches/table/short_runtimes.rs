//! Measures what 1,000 short-lived tokio runtimes leak. Each makes one call.

use crate::bare;
use crate::functions::value;
use crate::measure::Row;

pub(crate) fn rows(url: &str) -> Vec<Row> {
    let mut redis = bare::sync(url);
    let mut connections = move || {
        let list = redis::cmd("CLIENT").arg("LIST").query::<String>(&mut redis);
        list.expect("a reply to CLIENT LIST").lines().count()
    };
    let call =
        || bare::one_thread().block_on(async { drop(value(1, 100).await.expect("the call succeeds")) });
    (0..100).for_each(|_| call());
    let before = (descriptors(), connections(), resident());
    (0..1_000).for_each(|_| call());
    let after = (descriptors(), connections(), resident());
    let fact =
        |name: &str, before: usize, after: usize| Row::fact(name, format!("{before} → {after}"), "constant");
    vec![
        fact("1,000 runtimes: file descriptors", before.0, after.0),
        fact("1,000 runtimes: server connections", before.1, after.1),
        fact("1,000 runtimes: resident memory, KiB", before.2, after.2),
    ]
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |list| list.count())
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
