//! The steps as Lua; each mirrors a branch of `protocol::step`.

use std::sync::LazyLock;

/// One step.
pub(in crate::store::redis) struct Script(LazyLock<redis::Script>, LazyLock<String>);

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(in crate::store::redis) static $name: Script = Script(
            LazyLock::new(|| redis::Script::new($name.text())),
            LazyLock::new(|| without_comments(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+))),
        );)*

        /// Every step, to be loaded when a connection is made.
        pub(in crate::store::redis) fn all() -> impl Iterator<Item = &'static Script> {
            [$(&$name),*].into_iter()
        }
    };
}

// Each holds what it needs and no more: a server runs all of a script at each call, definitions included.
scripts! {
    ACQUIRE = "keys" "clock" "read" "acquire";
    RENEW = "keys" "clock" "read" "held" "renew";
    PUBLISH = "keys" "clock" "read" "held" "publish";
    ABORT = "keys" "read" "abort";
    DELETE = "delete";
}

impl Script {
    /// The SHA-1 by which a server knows the script.
    pub(in crate::store::redis) fn hash(&self) -> &str {
        self.0.get_hash()
    }

    /// The script itself.
    pub(in crate::store::redis) fn text(&self) -> &str {
        &self.1
    }
}

/// Comments are for the reader of the repository, not for each server's memory.
fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|line| [line, "\n"])
        .collect()
}
