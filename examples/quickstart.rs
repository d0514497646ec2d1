//! Four processes ask for the same three reports. Each report is computed once, and every process receives it.
//!
//! Run it without a server: `cargo run --example quickstart`. The processes share a file.
//! Run it with Redis: `cargo run --example quickstart -- --redis redis://127.0.0.1:6379`.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use dspinlock::{Pool, dspinlock};

const PROCESSES: usize = 4;
/// Each process asks for these reports. The last call returns a cached value.
const REPORTS: [u32; 4] = [1, 2, 3, 1];
const COMPUTATIONS: usize = 3;

/// The function needs only the attribute. `run` is part of the key, so each run of this example computes the reports again.
#[dspinlock(key = (run, number), cached_if_computed, ttl = "1m")]
fn report(run: u32, number: u32, process: &str) -> Result<String, dspinlock::Error> {
    println!("process {process} computes report {number} ...");
    std::thread::sleep(Duration::from_millis(500)); // the expensive part
    Ok(format!("report {number}, computed by process {process}"))
}

/// One worker process. It asks for every report.
fn worker(url: &str, run: u32, process: &str) -> Result<(), Box<dyn Error>> {
    dspinlock::init(Pool::open(url)?)?;
    for number in REPORTS {
        let start = Instant::now();
        let report = report(run, number, process)?;
        println!("process {process} has {report}, after {:.1?}", start.elapsed());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let folder = std::env::temp_dir().join(format!("dspinlock-quickstart-{}", std::process::id()));
            let result = start_workers(&format!("sqlite:{}", folder.join("locks.sqlite").display()));
            std::fs::remove_dir_all(folder)?;
            result
        }
        ["--redis", url] => start_workers(url),
        ["--worker", url, run, process] => worker(url, run.parse()?, process),
        _ => Err("usage: quickstart [--redis URL]".into()),
    }
}

/// Starts the processes, prints their output and counts the computations.
fn start_workers(url: &str) -> Result<(), Box<dyn Error>> {
    println!("{PROCESSES} processes ask for the reports {REPORTS:?}; computing one takes 500 ms\n");
    let (output, input) = std::io::pipe()?;
    let run = std::process::id().to_string();
    let mut workers = Vec::new();
    for process in 1..=PROCESSES {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--worker", url, &run, &process.to_string()]);
        workers.push(command.stdout(input.try_clone()?).spawn()?);
    }
    drop(input); // the output ends when the last process exits

    let mut computations = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        computations += usize::from(line.contains("computes"));
    }
    for mut worker in workers {
        if !worker.wait()?.success() {
            return Err("a process failed".into());
        }
    }
    let calls = PROCESSES * REPORTS.len();
    println!("\n{calls} calls, {computations} computations");
    if computations == COMPUTATIONS {
        Ok(())
    } else {
        Err(format!("expected {COMPUTATIONS} computations").into())
    }
}
