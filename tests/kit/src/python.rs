//! The real py-dspinlock.

use std::process::{Command, Stdio};

use crate::{Lines, tool, wrong_clock};

/// Runs Python scripts with the interpreter that has py-dspinlock installed.
#[derive(Debug)]
pub struct Python;

impl Python {
    /// Runs a script to its end and returns the lines that it printed.
    ///
    /// # Panics
    ///
    /// Where the script fails, with what it said.
    pub fn run(script: &str, args: &[&str]) -> Vec<String> {
        let output = command(script, args)
            .stdin(Stdio::null())
            .output()
            .expect("the interpreter starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the script failed: {stderr}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(Into::into)
            .collect()
    }

    /// Starts a script that is to be spoken to line by line.
    pub fn start(script: &str, args: &[&str]) -> Lines {
        Lines::start(&mut command(script, args))
    }

    /// Starts one whose wall clock is wrong by so much, such as `+1h`.
    pub fn with_clock(by: &str, script: &str, args: &[&str]) -> Lines {
        // libfaketime spoils the system call behind `time.sleep`: it fails at once.
        let sound = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds)\n";
        Lines::start(command(&format!("{sound}{script}"), args).envs(wrong_clock(by)))
    }
}

fn command(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(tool("py/bin/python"));
    // Unbuffered, so that a line is heard when it is printed.
    command.args(["-u", "-c", script]).args(args);
    command
}
