//! `dspinlock ls`: lists the entries of a store. Rows are written as they arrive.

use std::process::ExitCode;

use dspinlock::KeyInfo;

use crate::row::{Row, State, short};
use crate::store::{self, Failure, StoreArgs};
use crate::table::{Cell, Output, Table};

const EXAMPLES: &str = "\
Examples:
  The locks that are held, and by which process:
    dspinlock ls --held

  The results of a function, one JSON object a line:
    dspinlock ls --site app::report --json

  How many entries each function has:
    dspinlock ls --json | jq -r .site | sort | uniq -c

The columns are: site, label, state, age, holder, the time until the lease or the result ends, and
the key. A missing field is `-`. In a pipe, two blanks separate the columns, and there is no line
with their names. The site is the name of the function; explicit locks have none. State `foreign`
is an entry that another program has written. Keys of a custom scheme are not listed: use `show`.

The server executes other commands in the meantime. An entry that changes may be listed twice, or
be missing.";

/// Lists locks and results: which function, since when, and which process holds the lock.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only locks that are held.
    #[arg(long)]
    held: bool,
    #[command(flatten)]
    filter: Filter,
    /// One JSON object a line. Times are in seconds.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Which entries of a store.
#[derive(Debug, clap::Args)]
pub(crate) struct Filter {
    /// Only the entries of this function, by its full name.
    #[arg(long)]
    pub(crate) site: Option<String>,
    /// The entries with this `prefix`; an empty one means all.
    #[arg(long, default_value = "dspinlock")]
    pub(crate) prefix: String,
}

impl Filter {
    pub(crate) fn matches(&self, row: &Row<'_>) -> bool {
        self.site.as_deref().is_none_or(|site| row.site == Some(site))
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    store::run(list(args))
}

async fn list(args: &Args) -> Result<ExitCode, Failure> {
    let pool = args.store.open().await?;
    let mut keys = pool.keys().prefix(&args.filter.prefix);
    let mut listing = Listing::new(args.json);
    while let Some(part) = keys.next().await? {
        listing.part(args, &part)?;
    }
    listing.end()?;
    Ok(ExitCode::SUCCESS)
}

enum Listing {
    Json(Output),
    Table(Table<7>),
}

impl Listing {
    fn new(json: bool) -> Self {
        let names = ["SITE", "LABEL", "STATE", "AGE", "HOLDER", "LEFT", "KEY"];
        match json {
            true => Self::Json(Output::new()),
            false => Self::Table(Table::new(Output::new(), names)),
        }
    }

    fn part(&mut self, args: &Args, part: &[KeyInfo]) -> std::io::Result<()> {
        let rows = part.iter().map(Row::of).filter(|row| args.filter.matches(row));
        let rows = rows.filter(|row| !args.held || row.state == State::Held);
        match self {
            Self::Json(output) => {
                for row in rows {
                    output.line(&row.json())?;
                }
                output.flush()
            }
            Self::Table(table) => {
                let rows: Vec<_> = rows.map(cells).collect();
                match rows.is_empty() {
                    true => Ok(()),
                    false => table.part(&rows),
                }
            }
        }
    }

    /// Writes the names of the columns of an empty table.
    fn end(&mut self) -> std::io::Result<()> {
        match self {
            Self::Json(_) => Ok(()),
            Self::Table(table) => table.part(&[]),
        }
    }
}

fn cells(row: Row<'_>) -> [Cell; 7] {
    [
        Cell::new(row.site),
        Cell::new(row.label),
        Cell::coloured(row.state.name(), row.state.colour()),
        Cell::new(short(row.age)),
        Cell::new(row.holder()),
        Cell::new(short(row.lease_left.or(row.expires_in))),
        Cell::new(Some(row.key)),
    ]
}
