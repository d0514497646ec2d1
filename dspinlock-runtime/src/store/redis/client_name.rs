//! The name of this program's connections in `CLIENT LIST`. Each connection sets it when it is opened, if the server lets it.

use std::sync::LazyLock;

/// The longest name, in bytes.
const MAX: usize = 64;

/// `dspinlock:<program>`. A server refuses names with spaces and control characters, so these are left out.
pub(crate) fn client_name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let program = std::env::current_exe().unwrap_or_default();
        name_of(&program.file_name().unwrap_or_default().to_string_lossy())
    });
    &NAME
}

fn name_of(program: &str) -> String {
    let printable = program.chars().filter(char::is_ascii_graphic);
    "dspinlock:".chars().chain(printable).take(MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_a_server_refuses() {
        assert_eq!(name_of("my app\n"), "dspinlock:myapp");
        assert_eq!(name_of("naïve"), "dspinlock:nave");
        assert_eq!(name_of(""), "dspinlock:");
        assert_eq!(name_of(&"x".repeat(100)).len(), MAX);
    }
}
