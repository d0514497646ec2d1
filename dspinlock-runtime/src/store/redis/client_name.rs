//! The names of this program's connections in `CLIENT LIST`. Each connection sets its name when it is opened, if the server
//! lets it.

use std::sync::LazyLock;

/// The longest name, in bytes.
const MAX: usize = 64;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Steps,
    Heartbeats,
    Reader,
    /// Steps that wait for replicas.
    Replicas,
    #[cfg(feature = "sentinel")]
    Sentinel,
}

impl Purpose {
    /// `dspinlock:<program>:<purpose>`, or `<chosen>:<purpose>`.
    pub(crate) fn client_name(self, chosen: Option<&str>) -> String {
        static PROGRAM: LazyLock<String> = LazyLock::new(|| {
            let program = std::env::current_exe().unwrap_or_default();
            format!(
                "dspinlock:{}",
                program.file_name().unwrap_or_default().to_string_lossy()
            )
        });
        self.name_of(chosen.unwrap_or(&PROGRAM))
    }

    /// A server refuses names with spaces and control characters, so these are left out. A long name is cut.
    fn name_of(self, name: &str) -> String {
        let purpose = match self {
            Self::Steps => ":steps",
            Self::Heartbeats => ":heartbeats",
            Self::Reader => ":reader",
            Self::Replicas => ":replicas",
            #[cfg(feature = "sentinel")]
            Self::Sentinel => ":sentinel",
        };
        let printable = name.chars().filter(char::is_ascii_graphic);
        let start: String = printable.take(MAX - purpose.len()).collect();
        start + purpose
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_a_server_refuses() {
        let name_of = |program| Purpose::Steps.name_of(program);
        assert_eq!(name_of("my app\n"), "myapp:steps");
        assert_eq!(name_of("naïve"), "nave:steps");
        assert_eq!(Purpose::Steps.client_name(Some("billing")), "billing:steps");
        let own = Purpose::Steps.client_name(None);
        assert!(
            own.starts_with("dspinlock:dspinlock_runtime") && own.ends_with(":steps"),
            "{own}"
        );
        let long = name_of(&"x".repeat(100));
        assert!(long.len() == MAX && long.ends_with("x:steps"), "{long}");
    }
}
