//! An entry as the subcommands print it: the fields of a table, or an object of JSON. `ls`, `show` and `rm` use it.

use std::time::Duration;

use dspinlock::{Holder, KeyInfo, Status};
use serde::{Serialize, Serializer};

use crate::duration;
use crate::table::{Colour, without_controls};

/// The state of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Free,
    Held,
    Computed,
    /// Another program wrote the entry.
    Foreign,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Computed => "computed",
            Self::Foreign => "foreign",
        }
    }

    pub(crate) fn colour(self) -> Colour {
        match self {
            Self::Free => Colour::Plain,
            Self::Held => Colour::Yellow,
            Self::Computed => Colour::Green,
            Self::Foreign => Colour::Red,
        }
    }
}

/// An entry. A field that the entry does not have is `None`.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a str,
    pub(crate) state: State,
    pub(crate) site: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) process_id: Option<u64>,
    /// The time since the lock was granted, or since the value was computed.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub(crate) age: Option<Duration>,
    #[serde(rename = "lease_left_seconds", serialize_with = "seconds")]
    pub(crate) lease_left: Option<Duration>,
    /// The time until the result expires.
    #[serde(rename = "expires_in_seconds", serialize_with = "seconds")]
    pub(crate) expires_in: Option<Duration>,
    /// How long the body ran.
    #[serde(rename = "took_seconds", serialize_with = "seconds")]
    pub(crate) took: Option<Duration>,
    pub(crate) fence: Option<u64>,
}

fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}

impl<'a> Row<'a> {
    pub(crate) fn of(info: &'a KeyInfo) -> Self {
        let mut row = Row {
            key: &info.name,
            state: State::Free,
            site: None,
            label: None,
            host: None,
            process_id: None,
            age: None,
            lease_left: None,
            expires_in: None,
            took: None,
            fence: info.fence,
        };
        match &info.status {
            Status::Held {
                holder, lease_left, ..
            } => {
                row.state = State::Held;
                row.lease_left = *lease_left;
                row.age = holder.as_ref().map(Holder::held_for);
                row.name(holder.as_ref());
            }
            Status::Computed {
                by,
                took,
                age,
                remaining,
                ..
            } => {
                row.state = State::Computed;
                (row.took, row.age, row.expires_in) = (*took, *age, *remaining);
                row.name(by.as_ref());
            }
            Status::Foreign => row.state = State::Foreign,
            _ => {}
        }
        row
    }

    fn name(&mut self, holder: Option<&'a Holder>) {
        let Some(holder) = holder else { return };
        self.site = Some(holder.site()).filter(|site| !site.is_empty());
        self.label = holder.label();
        self.host = Some(holder.host());
        self.process_id = Some(holder.process_id());
    }

    /// `4711@web-1`.
    pub(crate) fn holder(&self) -> Option<String> {
        Some(format!("{}@{}", self.process_id?, self.host?))
    }

    /// One line of JSON. A terminal must not execute a text of the store.
    pub(crate) fn json(&self) -> String {
        without_controls(&serde_json::to_string(self).expect("the names are texts"))
    }
}

/// A duration in a table.
pub(crate) fn short(duration: Option<Duration>) -> Option<String> {
    duration.map(duration::short)
}
