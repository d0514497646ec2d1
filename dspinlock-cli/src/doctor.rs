//! `dspinlock doctor`: checks a store, and says what to do.
//!
//! `calls` makes locked calls as a program does, `server` asks each server, and `file` looks at the file of the embedded store.
//! Each of them adds findings to the `report`.

mod calls;
mod file;
mod report;
mod server;

use std::process::ExitCode;

use dspinlock::Options;

use self::report::{Finding, Report};
use crate::exit::Exit;
use crate::store::{self, Failure, StoreArgs};

const EXAMPLES: &str = "\
Examples:
  Check the store of the environment variable DSPINLOCK_URL, as the user in it:
    dspinlock doctor

  Only what needs attention, in a script:
    dspinlock doctor --json | jq -r 'select(.result != \"ok\") | .check + \": \" + .message'

Each line has a result, the check, what was found, and what to do:
  ok       nothing to do
  warn     something does not work, or may do harm
  fail     locked calls fail: the exit code is 78
  unknown  the user may not ask, so look yourself

The command acquires a lock and stores a result, under separate names, and deletes both. Run it
as the user of the program. It changes nothing else.";

/// Checks the store: its settings, its clock, and what the user may do.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The `prefix` of the keys, for a user that may use no other keys.
    #[arg(long, default_value_t = Options::DEFAULT.prefix.into_owned())]
    prefix: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    store::run(check(args))
}

async fn check(args: &Args) -> Result<ExitCode, Failure> {
    let pool = args.store.open().await?;
    let mut report = Report::new(args.json);
    match pool.servers().await {
        Ok(servers) => {
            let place = server::Place {
                is_cluster: args.store.names_cluster(),
                has_others: servers.len() > 1,
            };
            for server in &servers {
                server::check(server, place, &args.prefix, &mut report).await?;
            }
            match (&*servers, pool.file()) {
                ([], Some(path)) => file::check(&path, &mut report)?,
                ([], None) => report.add(Finding::ok(
                    "file",
                    "the store is in memory: no other process sees it",
                ))?,
                _ => {}
            }
        }
        Err(error) => report.add(Finding::fail("connection", error))?,
    }
    calls::check(args, &pool, &mut report).await?;
    Ok(match report.has_failed() {
        true => Exit::Failed.into(),
        false => ExitCode::SUCCESS,
    })
}
