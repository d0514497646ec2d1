//! `dspinlock completions`: prints the completions of a shell.

use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use clap_complete::generate;

use crate::store::{self, Failure};

const EXAMPLES: &str = "\
Example:
  Complete subcommands and options in bash:
    dspinlock completions bash >~/.local/share/bash-completion/completions/dspinlock";

/// Prints the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args, command: &clap::Command) -> ExitCode {
    store::run(async { print(args.shell, command) })
}

fn print(shell: Shell, command: &clap::Command) -> Result<ExitCode, Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Not directly to standard output: if it is closed, `generate` panics.
    let mut script = Vec::new();
    generate(shell, &mut visible(command), "dspinlock", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Without the subcommands that are hidden: `generate` would complete them.
fn visible(command: &clap::Command) -> clap::Command {
    let subcommands = command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set());
    clap::Command::new("dspinlock").subcommands(subcommands.cloned())
}
