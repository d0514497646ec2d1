//! The real py-dspinlock.

use std::process::{Command, Stdio};

use crate::{Lines, tool};

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
        Self::start_with(script, args, &[])
    }

    /// Starts one with further environment variables.
    pub fn start_with(script: &str, args: &[&str], environment: &[(&str, &str)]) -> Lines {
        Lines::start(command(script, args).envs(environment.iter().copied()))
    }
}

fn command(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(tool("py/bin/python"));
    // Unbuffered, so that a line is heard when it is printed.
    command.args(["-u", "-c", script]).args(args);
    command
}
