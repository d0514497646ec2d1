//! The signals that `exec` passes on. `exec`, `job` and `guard` use them.

use std::io;
use std::task::{Context, Poll};

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Signals that end a program.
const ENDING: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// Signals that stop and continue a program.
const JOB_CONTROL: [Signal; 2] = [Signal::TSTP, Signal::CONT];

/// The signals that were caught. They no longer have their default effect on this process.
#[derive(Debug)]
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Catches the signals that end a program. A signal that this process was started to ignore stays ignored, also in the
    /// command: `nohup` does so.
    pub(super) fn catch() -> io::Result<Self> {
        let mut signals = Self(Vec::new());
        signals.add(&ENDING)?;
        Ok(signals)
    }

    /// Also catches the signals that stop and continue a program.
    pub(super) fn catch_job_control(&mut self) -> io::Result<()> {
        self.add(&JOB_CONTROL)
    }

    fn add(&mut self, signals: &[Signal]) -> io::Result<()> {
        let ignored = ignored();
        for &signal in signals {
            if ignored & (1 << (signal.as_raw() - 1)) == 0 {
                self.0
                    .push((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
            }
        }
        Ok(())
    }

    /// The next signal.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        for (signal, stream) in &mut self.0 {
            if stream.poll_recv(context).is_ready() {
                return Poll::Ready(*signal);
            }
        }
        Poll::Pending
    }
}

/// The set of ignored signals, a bit for each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
