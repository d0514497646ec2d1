//! `dspinlock show`: describes one entry.

use std::process::ExitCode;

use crate::exit::Exit;
use crate::messages::print;
use crate::row::{Row, State, short};
use crate::store::{self, Failure, StoreArgs};
use crate::table::{Cell, Colour, Output};

const EXAMPLES: &str = "\
Example:
  The entry that an error message names:
    dspinlock show dspinlock,aNpKgDDeVMKgy0cZCrbdaqCO1pBCjPH2x

The key is the exact name in the store: `ls`, messages, logs and `entry.key()` of a program show
it. If there is no entry, the exit code is 66. A value is never shown.";

/// Describes the entry of a key: held or computed, by which process, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The exact name in the store.
    key: String,
    /// One JSON object. Times are in seconds.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    store::run(show(args))
}

async fn show(args: &Args) -> Result<ExitCode, Failure> {
    let pool = args.store.open().await?;
    let info = pool.key_info(&args.key).await?;
    let row = Row::of(&info);
    if row.state == State::Free {
        return Ok(absent(&args.key));
    }
    let mut output = Output::new();
    match args.json {
        true => output.line(&row.json())?,
        false => describe(&row, &mut output)?,
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints that there is no entry.
pub(crate) fn absent(key: &str) -> ExitCode {
    print(format_args!(
        "there is no entry `{key}`: nothing holds the key, and no result is stored"
    ));
    Exit::Absent.into()
}

/// Writes the fields that the entry has, one a line.
pub(crate) fn describe(row: &Row<'_>, output: &mut Output) -> std::io::Result<()> {
    let fields = [
        ("key", Some(row.key.to_owned())),
        ("site", row.site.map(Into::into)),
        ("label", row.label.map(Into::into)),
        ("state", Some(row.state.name().to_owned())),
        ("holder", row.holder().filter(|_| row.state == State::Held)),
        (
            "computed by",
            row.holder().filter(|_| row.state == State::Computed),
        ),
        ("age", short(row.age)),
        ("lease left", short(row.lease_left)),
        ("expires in", short(row.expires_in)),
        ("took", short(row.took)),
        ("fence", row.fence.map(|fence| fence.to_string())),
    ];
    for (name, text) in fields {
        let Some(text) = text else { continue };
        let colour = match name {
            "state" => row.state.colour(),
            _ => Colour::Plain,
        };
        output.cells(
            &[Cell::coloured(name, Colour::Bold), Cell::coloured(&text, colour)],
            &[11],
        )?;
    }
    Ok(())
}
