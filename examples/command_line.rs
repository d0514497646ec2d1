//! A command-line tool with a cache on disk: the second run of the same command reads the result of the first one, and two
//! runs at the same time share one computation. There is no server and no daemon.
//!
//! Run it twice: `cargo run --example command_line -- Cargo.toml`. `--fresh` computes anew.
//! The results are in a file of this user; the environment variable `DSPINLOCK_URL` names another store.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use dspinlock::{How, dspinlock};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    lines: usize,
    words: usize,
}

/// The key contains what the result depends on: the path, and the size and time of the file.
#[dspinlock(key = (path, size, modified), cached_if_computed, ttl = "7d")]
fn summarize(path: &Path, size: u64, modified: u128) -> Result<Summary, Failure> {
    std::thread::sleep(Duration::from_millis(300)); // the expensive part
    let text = std::fs::read_to_string(path)?;
    Ok(Summary {
        lines: text.lines().count(),
        words: text.split_whitespace().count(),
    })
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Lock(#[from] dspinlock::Error),
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_fresh = arguments.iter().position(|argument| argument == "--fresh");
    if let Some(at) = is_fresh {
        arguments.remove(at);
    }
    // Without an argument, the tool summarizes its own source.
    let path = arguments.first().map_or(
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/command_line.rs"),
        |path| path,
    );
    let path = std::fs::canonicalize(path)?;
    let file = std::fs::metadata(&path)?;
    let modified = file.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_nanos();

    let call = || summarize(&path, file.len(), modified);
    let (summary, served) = dspinlock::served_blocking(|| match is_fresh {
        Some(_) => dspinlock::fresh_blocking(call),
        None => call(),
    });
    let Summary { lines, words } = summary?;
    let from = match served {
        Some(served) if served.how == How::Computed => "computed".to_owned(),
        // A server does not tell the age of a hit.
        Some(served) => match served.age {
            Some(age) => format!("from the cache, {age:.1?} old"),
            None => "from the cache".to_owned(),
        },
        None => "computed without the lock".to_owned(),
    };
    println!("{}: {lines} lines, {words} words ({from})", path.display());
    Ok(())
}
