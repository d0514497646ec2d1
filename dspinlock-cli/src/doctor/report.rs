//! The findings of `doctor`, written as they are found.

use std::fmt::Display;
use std::io;

use serde::Serialize;

use crate::table::{Cell, Colour, Output, without_controls};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail,
    /// The user may not ask.
    Unknown,
}

impl Verdict {
    fn name(self) -> (&'static str, Colour) {
        match self {
            Self::Ok => ("ok", Colour::Green),
            Self::Warn => ("warn", Colour::Yellow),
            Self::Fail => ("fail", Colour::Red),
            Self::Unknown => ("unknown", Colour::Bold),
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    /// The address, if there are several servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    result: Verdict,
    /// What was found, and what to do about it.
    message: String,
}

impl Finding {
    pub(super) fn new(result: Verdict, check: &'static str, message: impl Display) -> Self {
        Self {
            check,
            server: None,
            result,
            message: message.to_string(),
        }
    }

    pub(super) fn ok(check: &'static str, message: impl Display) -> Self {
        Self::new(Verdict::Ok, check, message)
    }

    pub(super) fn warn(check: &'static str, message: impl Display) -> Self {
        Self::new(Verdict::Warn, check, message)
    }

    pub(super) fn fail(check: &'static str, message: impl Display) -> Self {
        Self::new(Verdict::Fail, check, message)
    }

    pub(super) fn unknown(check: &'static str, message: impl Display) -> Self {
        Self::new(Verdict::Unknown, check, message)
    }

    pub(super) fn is_failure(&self) -> bool {
        self.result == Verdict::Fail
    }

    pub(super) fn of_server(mut self, server: Option<String>) -> Self {
        self.server = server;
        self
    }
}

/// Where the findings go.
pub(super) struct Report {
    output: Output,
    json: bool,
    has_failed: bool,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            output: Output::new(),
            json,
            has_failed: false,
        }
    }

    pub(super) fn add(&mut self, finding: Finding) -> io::Result<()> {
        self.has_failed |= finding.is_failure();
        if self.json {
            let json = serde_json::to_string(&finding).expect("the fields are texts");
            self.output.line(&without_controls(&json))?;
            return self.output.flush();
        }
        let (result, colour) = finding.result.name();
        let message = match &finding.server {
            Some(server) => format!("{server}: {}", finding.message),
            None => finding.message,
        };
        let cells = [
            Cell::coloured(result, colour),
            Cell::new(Some(finding.check)),
            Cell::new(Some(message)),
        ];
        self.output.cells(&cells, &[7, 15])?;
        self.output.flush()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }
}
