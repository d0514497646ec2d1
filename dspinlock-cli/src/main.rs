//! The command `dspinlock`: arguments and dispatch.
//!
//! Each subcommand is a module with its `Args` and a function `run`, which returns the exit code. `exit` lists the codes.

mod completions;
mod doctor;
mod duration;
#[cfg(unix)]
mod exec;
mod exit;
mod ls;
mod messages;
mod rm;
mod row;
mod show;
mod store;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::exit::Exit;

/// Locks and cached results over Redis, Valkey or SQLite, from the command line.
#[derive(Debug, Parser)]
#[command(name = "dspinlock", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(unix)]
    Exec(exec::Args),
    #[cfg(unix)]
    #[command(hide = true)]
    ExecGuard(exec::GuardArgs),
    Ls(ls::Args),
    Show(show::Args),
    Rm(rm::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Fails only if the terminal is closed.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => ExitCode::SUCCESS,
            };
        }
    };
    messages::init();
    match cli.command {
        #[cfg(unix)]
        Command::Exec(args) => exec::run(args),
        #[cfg(unix)]
        Command::ExecGuard(args) => exec::guard(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args, &Cli::command()),
    }
}
