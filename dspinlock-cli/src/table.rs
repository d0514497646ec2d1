//! Columns and colours on standard output. `ls` and others use it.
//!
//! On a terminal, columns are aligned below a line of names. Otherwise, two blanks separate them, for other programs.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// The colour of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Plain,
    Bold,
    Red,
    Green,
    Yellow,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Red => "\x1b[31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
        }
    }
}

/// Whether a terminal would execute the character, or would show it as nothing or other characters in another order.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

/// A text without control characters and format characters.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    match text.contains(is_unsafe) {
        true => text.replace(is_unsafe, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// JSON without the control characters and format characters that it may contain.
pub(crate) fn without_controls(json: &str) -> String {
    // None of them has more than four digits.
    let escaped = |c: char| match is_unsafe(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.into(),
    };
    json.chars().map(escaped).collect()
}

/// One field of a row.
pub(crate) struct Cell {
    text: String,
    colour: Colour,
}

impl Cell {
    /// A missing text is `-`, so that every line has as many columns.
    pub(crate) fn new(text: Option<impl AsRef<str>>) -> Self {
        Self::coloured(text.as_ref().map_or("-", AsRef::as_ref), Colour::Plain)
    }

    pub(crate) fn coloured(text: &str, colour: Colour) -> Self {
        Self {
            text: printable(text).into_owned(),
            colour,
        }
    }
}

/// Standard output, buffered.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    pub(crate) is_terminal: bool,
    has_colours: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let out = io::stdout().lock();
        let is_terminal = out.is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: BufWriter::new(out),
            is_terminal,
            has_colours: is_terminal && !no_colour,
        }
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes cells with these widths. The last cell is not padded.
    pub(crate) fn cells(&mut self, cells: &[Cell], widths: &[usize]) -> io::Result<()> {
        for (at, Cell { text, colour }) in cells.iter().enumerate() {
            let (before, after) = match colour.code() {
                code if self.has_colours && !code.is_empty() => (code, "\x1b[0m"),
                _ => ("", ""),
            };
            write!(self.out, "{before}{text}{after}")?;
            if at + 1 < cells.len() {
                let padding = widths[at].saturating_sub(text.chars().count());
                write!(self.out, "{:padding$}  ", "")?;
            }
        }
        writeln!(self.out)
    }
}

/// A table whose rows arrive in parts.
pub(crate) struct Table<const N: usize> {
    output: Output,
    names: [&'static str; N],
    widths: [usize; N],
    has_names: bool,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(output: Output, names: [&'static str; N]) -> Self {
        Self {
            output,
            names,
            widths: [0; N],
            has_names: false,
        }
    }

    /// Writes rows, and the names of the columns before the first ones. Columns become wider for a longer text.
    pub(crate) fn part(&mut self, rows: &[[Cell; N]]) -> io::Result<()> {
        if self.output.is_terminal {
            let names = self.names.map(|name| Cell::coloured(name, Colour::Bold));
            let all = rows.iter().chain((!self.has_names).then_some(&names));
            for cells in all {
                for (width, cell) in self.widths.iter_mut().zip(cells) {
                    *width = cell.text.chars().count().max(*width);
                }
            }
            if !self.has_names {
                self.output.cells(&names, &self.widths)?;
                self.has_names = true;
            }
        }
        for cells in rows {
            self.output.cells(cells, &self.widths)?;
        }
        self.output.flush()
    }
}
