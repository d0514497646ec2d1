//! The real py-dspinlock.

use std::process::{Command, Stdio};

use crate::{ChildProcess, shifted_clock, tool};

/// Runs Python scripts with the interpreter that has py-dspinlock installed.
#[derive(Debug)]
pub struct Python;

impl Python {
    /// Runs a script until it exits, and returns the lines that it printed.
    ///
    /// # Panics
    ///
    /// Panics if the script fails, with its standard error.
    pub fn run(script: &str, args: &[&str]) -> Vec<String> {
        let output = command(script, args)
            .stdin(Stdio::null())
            .output()
            .expect("the interpreter can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the script failed: {stderr}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(Into::into)
            .collect()
    }

    /// Starts a script that reads and prints lines.
    pub fn start(script: &str, args: &[&str]) -> ChildProcess {
        ChildProcess::start(&mut command(script, args))
    }

    /// Starts a script whose wall clock is shifted, for example by `+1h`.
    pub fn with_clock(by: &str, script: &str, args: &[&str]) -> ChildProcess {
        // With libfaketime `time.sleep` fails at once, because its system call does.
        let sleep = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds)\n";
        ChildProcess::start(command(&format!("{sleep}{script}"), args).envs(shifted_clock(by)))
    }
}

fn command(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(tool("py/bin/python"));
    // Unbuffered, so that a line arrives when it is printed.
    command.args(["-u", "-c", script]).args(args);
    command
}
