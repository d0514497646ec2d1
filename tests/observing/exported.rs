//! The output of the example: its spans and its metrics.

use std::process::Command;

const PROGRAM: &str = "DSPINLOCK_TEST_EXAMPLE";

/// Not a test: the example. In an ordinary run it returns at once.
#[test]
fn example() {
    if std::env::var_os(PROGRAM).is_some() {
        println!();
        crate::example::main().expect("the example succeeds");
    }
}

#[test]
fn the_example_exports_each_call() {
    let output = Command::new(std::env::current_exe().expect("the path of this program"))
        .args(["exported::example", "--exact", "--nocapture"])
        .env(PROGRAM, "")
        .env_remove("DSPINLOCK_URL")
        .output()
        .expect("the program starts");
    let [metrics, traces] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert!(output.status.success(), "{metrics}{traces}");
    for (served, count) in [("computed", 2), ("followed", 1), ("hit", 1)] {
        let is_of = |line: &&str| {
            line.starts_with("dspinlock_calls_total{") && line.contains(&format!("served=\"{served}\""))
        };
        let line = metrics
            .lines()
            .find(is_of)
            .unwrap_or_else(|| panic!("no {served}: {metrics}"));
        assert!(
            line.contains("example::price\"") && line.ends_with(&format!(" {count}")),
            "{line}"
        );
        let spans = traces
            .lines()
            .filter(|line| line.contains(&format!("served=\"{served}\"")))
            .count();
        assert_eq!(spans, count, "{served}: {traces}");
    }
    for metric in ["hit", "wait", "compute"] {
        let name = format!("dspinlock_{metric}_seconds_count{{");
        assert!(metrics.contains(&name), "{metric}: {metrics}");
    }
}
