//! The terminal: the command's group has it while `exec` would have it. `job` calls it.
//!
//! A shell gives the terminal to the group of its job, in which `exec` runs. The command runs in another group, so `exec`
//! passes the terminal on. It never takes the terminal from a third group.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal;

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Masked};
use rustix::process::{Pid, getpgrp, getsid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// The controlling terminal of this process.
#[derive(Debug)]
pub(super) struct Terminal {
    tty: File,
    /// The group of this process.
    own: Pid,
    /// Whether the command gets the terminal without asking for it.
    passes_on: bool,
}

impl Terminal {
    /// `None` without a controlling terminal, for example under cron.
    pub(super) fn open() -> Option<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self {
            tty,
            own: getpgrp(),
            // The other programs of a pipeline, such as a pager, run in the group of this process and need the terminal.
            passes_on: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
        })
    }

    /// Whether a shell with job control would notice that this process is stopped, and could continue it. The group of a
    /// session's leader has no such shell.
    pub(super) fn has_job_control(&self) -> bool {
        getsid(None).is_ok_and(|session| session != self.own)
    }

    /// Whether the group of this process has the terminal.
    pub(super) fn is_own(&self) -> bool {
        self.is_of(self.own)
    }

    /// Whether `group` has the terminal.
    pub(super) fn is_of(&self, group: Pid) -> bool {
        tcgetpgrp(&self.tty).is_ok_and(|foreground| foreground == group)
    }

    /// Passes the terminal on to the command, if this process has it and is not part of a pipeline.
    pub(super) fn pass_on(&self, group: Pid) {
        if self.passes_on {
            self.give(group);
        }
    }

    /// Gives the terminal to the command, if this process has it.
    pub(super) fn give(&self, group: Pid) {
        if self.is_own() {
            self.set(group);
        }
    }

    /// Takes the terminal back, if the command has it.
    pub(super) fn take_back(&self, group: Pid) {
        if self.is_of(group) {
            self.set(self.own);
        }
    }

    fn set(&self, group: Pid) {
        // Without this, the kernel stops a process in the background that sets the foreground group.
        let mut mask = SigSet::empty();
        mask.add(Masked::SIGTTOU);
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // Fails only if the terminal or the group no longer exists.
        let _ = tcsetpgrp(&self.tty, group);
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
    }
}
