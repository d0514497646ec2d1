//! The steps as Lua scripts. Each one mirrors a branch of `protocol::step`.

use std::sync::LazyLock;

/// The script of one step.
pub(crate) struct Script(LazyLock<redis::Script>, LazyLock<String>);

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(crate) static $name: Script = Script(
            LazyLock::new(|| redis::Script::new($name.text())),
            LazyLock::new(|| without_comments(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+))),
        );)*

        /// Every script; a new connection loads them.
        pub(crate) fn all() -> impl Iterator<Item = &'static Script> {
            [$(&$name),*].into_iter()
        }
    };
}

// A server runs the whole script at each call, definitions included, so each script has only the parts that it needs.
scripts! {
    ACQUIRE = "keys" "clock" "read" "acquire";
    RENEW = "keys" "clock" "read" "held" "renew";
    PUBLISH = "keys" "clock" "read" "held" "publish";
    ABORT = "keys" "read" "abort";
    DELETE = "delete";
}

impl Script {
    /// The SHA-1 digest for `EVALSHA`.
    pub(crate) fn hash(&self) -> &str {
        self.0.get_hash()
    }

    /// The source for `EVAL` and `SCRIPT LOAD`.
    pub(crate) fn text(&self) -> &str {
        &self.1
    }
}

/// Comments would only take memory of the server.
fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|line| [line, "\n"])
        .collect()
}
