//! Three schedulers, each a process, start the same nightly job again and again. The one that runs it is killed; another one
//! takes over as soon as the lease has expired. The job is finished once.
//!
//! Run it: `cargo run --example schedulers`. The processes share a file.
//! Set `DSPINLOCK_URL`, for example to `redis://127.0.0.1`, to use a server.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock::{Pool, dspinlock};

const SCHEDULERS: usize = 3;
/// How often a scheduler starts the job. A real one does it every minute.
const EVERY: Duration = Duration::from_millis(100);

/// Once a day: the day is in the key, which stays for longer than a day. A call that finds the job running or done returns
/// `None` at once.
#[dspinlock(key = day, fail_if_key_exists, on_busy = skip, ttl = "2d", lease = "1s")]
fn nightly(day: &str, scheduler: usize) -> Result<Option<()>, dspinlock::Error> {
    println!("scheduler {scheduler} begins");
    sleep(Duration::from_millis(500)); // the work
    println!("scheduler {scheduler} finishes");
    Ok(Some(()))
}

fn schedule(url: &str, day: &str, scheduler: usize) -> Result<(), Box<dyn Error>> {
    dspinlock::init(Pool::open(url)?)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        nightly(day, scheduler)?;
        sleep(EVERY);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [url, day, scheduler] = &*arguments {
        return schedule(url, day, scheduler.parse()?);
    }
    let folder = std::env::temp_dir().join(format!("dspinlock-schedulers-{}", std::process::id()));
    let file = format!("sqlite:{}", folder.join("locks.sqlite").display());
    let url = std::env::var("DSPINLOCK_URL").unwrap_or(file);
    let result = run(&url);
    let _ = std::fs::remove_dir_all(folder);
    result
}

/// Starts the schedulers, kills the first one that begins, and counts what happens.
fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let (output, input) = std::io::pipe()?;
    let day = format!("day {}", std::process::id()); // a new key for each run of this example
    let start = |scheduler: usize| -> Result<Child, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([url, &day, &scheduler.to_string()]);
        Ok(command.stdout(input.try_clone()?).spawn()?)
    };
    let mut schedulers = (0..SCHEDULERS).map(start).collect::<Result<Vec<_>, _>>()?;
    drop(input); // the output ends when the last process exits

    let (mut killed, mut begun, mut finished) = (None, 0, 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        finished += usize::from(line.ends_with("finishes"));
        begun += usize::from(line.ends_with("begins"));
        if begun == 1 && killed.is_none() {
            let scheduler: usize = line.split(' ').nth(1).unwrap_or_default().parse()?;
            schedulers[scheduler].kill()?;
            println!("scheduler {scheduler} is killed");
            killed = Some(scheduler);
        }
    }
    for (scheduler, process) in schedulers.iter_mut().enumerate() {
        if !process.wait()?.success() && killed != Some(scheduler) {
            return Err(format!("scheduler {scheduler} failed").into());
        }
    }
    println!("\n{begun} runs, {finished} finished");
    match (begun, finished) {
        (2, 1) => Ok(()),
        _ => Err("expected two runs, one of them finished".into()),
    }
}
