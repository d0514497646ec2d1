//! Several processes ask for the same expensive results; each result is computed once.
//!
//! `cargo run --example quickstart` needs no server: the processes share a file of the embedded store.
//! `cargo run --example quickstart -- --redis redis://127.0.0.1:6380` does the same on Redis.
//!
//! The work is real: for every Rust source file of this repository its digest, its statistics and the file most like
//! it. All workers go through all files, twice.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dspinlock::{Error, Pool, dspinlock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const WORKERS: usize = 4;

#[derive(Serialize, Deserialize)]
struct Report {
    digest: String,
    lines: usize,
    words: usize,
    nearest: Option<PathBuf>,
    /// When it was computed and by whom, so that a caller can tell what it got.
    computed_at: Duration,
    computed_by: u32,
}

/// This is all there is to it: one attribute.
#[dspinlock(key = (run, file), cached_if_computed, ttl = "1m")]
fn analyse(run: u32, file: &Path, all: &[PathBuf]) -> Result<Report, Error> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let own = distinct_lines(&text);
    let likeness = |other: &&PathBuf| {
        let text = std::fs::read_to_string(other).unwrap_or_default();
        let other = distinct_lines(&text);
        let shared = own.intersection(&other).count();
        shared * 1000 / (own.len() + other.len() - shared).max(1)
    };
    Ok(Report {
        digest: Sha256::digest(&text)
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        lines: text.lines().count(),
        words: text.split_whitespace().count(),
        nearest: all
            .iter()
            .filter(|other| *other != file)
            .max_by_key(likeness)
            .cloned(),
        computed_at: now(),
        computed_by: std::process::id(),
    })
}

fn distinct_lines(text: &str) -> HashSet<&str> {
    text.lines().map(str::trim).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let folder = std::env::temp_dir().join(format!("dspinlock-quickstart-{}", std::process::id()));
            let outcome = lead(&format!("sqlite:{}", folder.join("locks.sqlite").display()));
            std::fs::remove_dir_all(folder)?;
            outcome
        }
        ["--redis", url] => lead(url),
        ["--worker", url, number, run] => work(url, number.parse()?, run.parse()?),
        _ => Err("usage: quickstart [--redis URL]".into()),
    }
}

/// Asks for every file twice, and prints a line for each answer.
fn work(url: &str, number: usize, run: u32) -> Result<(), Box<dyn std::error::Error>> {
    dspinlock::init(Pool::open(url)?)?;
    let files = sources(Path::new(env!("CARGO_MANIFEST_DIR")));
    for round in 0..2 {
        for turn in 0..files.len() {
            // Half of the workers begin at the end, so that some wait for each other and some do not.
            let file = &files[if number.is_multiple_of(2) {
                turn
            } else {
                files.len() - 1 - turn
            }];
            let (asked, start) = (now(), Instant::now());
            let report = analyse(run, file, &files)?;
            let role = match report.computed_at {
                at if report.computed_by == std::process::id() && at > asked => "computed",
                at if at > asked => "waited",
                _ => "hit",
            };
            println!("{round} {role} {} {}", start.elapsed().as_micros(), report.words);
        }
    }
    Ok(())
}

/// Starts the workers and counts what they say.
fn lead(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    let files = sources(Path::new(env!("CARGO_MANIFEST_DIR"))).len();
    println!("{WORKERS} processes, {files} source files; each process asks for every file, twice\n");
    let start = Instant::now();
    let run = std::process::id().to_string();
    let worker = |number: usize| {
        let program = std::env::current_exe()?;
        Command::new(program)
            .args(["--worker", url, &number.to_string(), &run])
            .stdout(Stdio::piped())
            .spawn()
    };
    let workers = (0..WORKERS).map(worker).collect::<Result<Vec<_>, _>>()?;
    println!("{:<12}{:>24}{:>24}{:>24}", "process", "computed", "waited", "hit");
    println!(
        "{:<12}{}",
        "",
        format!("{:>10}{:>14}", "calls", "median").repeat(3)
    );
    let mut computed = 0;
    for worker in workers {
        let process = worker.id();
        let output = worker.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("process {process} failed").into());
        }
        let mut times = BTreeMap::<&str, Vec<u64>>::new();
        let text = String::from_utf8(output.stdout)?;
        for line in text.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(role), Some(micros)) = (words.next(), words.next()) else {
                continue;
            };
            times.entry(role).or_default().push(micros.parse()?);
        }
        computed += times.get("computed").map_or(0, Vec::len);
        let columns = ["computed", "waited", "hit"].map(|role| column(times.entry(role).or_default()));
        println!("{process:<12}{}", columns.concat());
    }
    println!(
        "\n{computed} computations for {} calls, in {:.1?}",
        2 * WORKERS * files,
        start.elapsed()
    );
    if computed == files {
        Ok(())
    } else {
        Err("some file was not computed exactly once".into())
    }
}

fn column(micros: &mut [u64]) -> String {
    micros.sort_unstable();
    let median = micros
        .get(micros.len() / 2)
        .map_or("-".into(), |at| format!("{:.2} ms", *at as f64 / 1000.0));
    format!("{:>10}{median:>14}", micros.len())
}

/// Every Rust file below `folder`, builds left out.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        match path.is_dir() {
            true if !hidden && !path.ends_with("target") => files.extend(sources(&path)),
            false if path.extension().is_some_and(|ending| ending == "rs") => files.push(path),
            _ => {}
        }
    }
    files.sort();
    files
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
