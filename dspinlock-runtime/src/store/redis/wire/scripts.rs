//! The steps as Lua scripts, for both encodings. Each one mirrors a branch of `protocol::step`.

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

/// The scripts of one encoding.
pub(crate) struct Scripts {
    pub(crate) acquire: &'static Script,
    pub(crate) renew: &'static Script,
    pub(crate) publish: &'static Script,
    pub(crate) release: &'static Script,
    pub(crate) abort: &'static Script,
    pub(crate) describe: &'static Script,
}

pub(crate) const SINGLE: Scripts = Scripts {
    acquire: &ACQUIRE,
    renew: &RENEW,
    publish: &PUBLISH,
    release: &RELEASE,
    abort: &ABORT,
    describe: &DESCRIBE,
};

pub(crate) const SHARED: Scripts = Scripts {
    acquire: &SHARED_ACQUIRE,
    renew: &SHARED_RENEW,
    publish: &SHARED_PUBLISH,
    release: &SHARED_RELEASE,
    abort: &SHARED_ABORT,
    describe: &SHARED_DESCRIBE,
};

// A server runs the whole script at each call, definitions included, so each script has only the parts that it needs.
scripts! {
    ACQUIRE = "single/acquire";
    RENEW = "single/renew";
    PUBLISH = "single/publish";
    RELEASE = "single/release";
    ABORT = "single/abort";
    DESCRIBE = "single/describe";
    SHARED_ACQUIRE = "shared/clock" "shared/read" "shared/acquire";
    SHARED_RENEW = "shared/read" "shared/renew";
    SHARED_PUBLISH = "shared/clock" "shared/read" "shared/publish";
    SHARED_RELEASE = "shared/read" "shared/release";
    SHARED_ABORT = "shared/read" "shared/abort";
    SHARED_DESCRIBE = "shared/clock" "shared/read" "shared/describe";
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
