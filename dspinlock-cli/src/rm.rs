//! `dspinlock rm`: deletes one entry, or those of a site.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use dspinlock::Pool;

use crate::exit::Exit;
use crate::ls::Filter;
use crate::messages::print;
use crate::row::{Row, State};
use crate::show::absent;
use crate::store::{self, Failure, StoreArgs};
use crate::table::{Output, printable};

const EXAMPLES: &str = "\
Examples:
  Free the lock of a process that hangs:
    dspinlock rm dspinlock,aNpKgDDeVMKgy0cZCrbdaqCO1pBCjPH2x

  Forget all results of a function, in a script:
    dspinlock rm --site app::report --yes

  See what would be deleted:
    dspinlock rm --site app::report --dry-run

With `--yes`, an entry of another program, under a name that is no name of dspinlock, is deleted
only with `--foreign`.

If a result is deleted, the next call computes it. If a lock that is held is deleted, its holder
loses the lease, and what it computes is not stored; its body may still run while another caller
gets the lock. The lock of a process that was killed needs no `rm`: it ends with its lease.

The command prints the name of each deleted entry. If there is none, the exit code is 66.";

/// Deletes the entry of a key, or all entries of a function. Asks before, on a terminal.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The exact name in the store.
    #[arg(required_unless_present = "site", conflicts_with_all = ["site", "prefix"])]
    key: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// With `--yes`: delete the entry also if another program wrote it.
    #[arg(long, requires = "key")]
    foreign: bool,
    /// Print what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    store::run(remove(args))
}

async fn remove(args: &Args) -> Result<ExitCode, Failure> {
    if !args.yes && !args.dry_run && !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal on which to ask: add `--yes` to delete, or `--dry-run` to look".into(),
        ));
    }
    let pool = args.store.open().await?;
    let found = find(args, &pool).await?;
    if found.names.is_empty() {
        return Ok(match &args.key {
            Some(key) => absent(key),
            None => {
                print("there is no such entry");
                Exit::Absent.into()
            }
        });
    }
    if let Some(name) = found.foreign.as_ref().filter(|_| args.yes && !args.foreign) {
        return Err(Failure::Usage(format!(
            "another program wrote `{}`: add `--foreign` to delete it",
            printable(name)
        )));
    }
    if !args.yes && !args.dry_run && !confirms(&found)? {
        print("nothing was deleted");
        return Ok(ExitCode::SUCCESS);
    }
    let mut output = Output::new();
    for name in &found.names {
        // An entry may have expired in the meantime.
        if args.dry_run || pool.delete_key(name).await? {
            output.line(&printable(name))?;
            output.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The entries to delete.
#[derive(Default)]
struct Found {
    names: Vec<String>,
    /// How many of them are locks that are held.
    held: usize,
    /// The name of an entry that another program wrote, if no key of a site has such a name.
    foreign: Option<String>,
}

impl Found {
    fn add(&mut self, row: &Row<'_>) {
        self.names.push(row.key.into());
        self.held += usize::from(row.state == State::Held);
        if row.state == State::Foreign && !has_digest(row.key) {
            self.foreign = Some(row.key.into());
        }
    }
}

/// Whether a name in the store ends with a digest: 32 characters after the letter `a`, or 64 hexadecimal digits. Other programs
/// have no such names.
fn has_digest(name: &str) -> bool {
    let Some((_, text)) = name.rsplit_once(',') else {
        return false;
    };
    let is_single = |text: &str| {
        let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        text.len() == 32 && text.bytes().all(is_of_base64)
    };
    text.strip_prefix('a').is_some_and(is_single)
        || text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn find(args: &Args, pool: &Pool) -> Result<Found, Failure> {
    let mut found = Found::default();
    if let Some(key) = &args.key {
        let info = pool.key_info(key).await?;
        let row = Row::of(&info);
        if row.state != State::Free {
            found.add(&row);
        }
        return Ok(found);
    }
    let mut keys = pool.keys().prefix(&args.filter.prefix);
    while let Some(part) = keys.next().await? {
        let rows = part.iter().map(Row::of);
        rows.filter(|row| args.filter.matches(row))
            .for_each(|row| found.add(&row));
    }
    Ok(found)
}

/// Asks on standard error, because standard output has the names.
fn confirms(found: &Found) -> io::Result<bool> {
    let entries = match &*found.names {
        [name] => format!("`{}`", printable(name)),
        names => format!("{} entries", names.len()),
    };
    let held = match found.held {
        0 => String::new(),
        held => format!(" ({held} held: a holder loses its lease, and its body goes on)"),
    };
    let foreign = match found.foreign {
        Some(_) => " (another program wrote it)",
        None => "",
    };
    write!(io::stderr(), "delete {entries}{held}{foreign}? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
