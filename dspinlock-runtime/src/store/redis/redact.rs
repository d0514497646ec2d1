//! Makes text from a server safe for messages and logs: a server must not write control characters or long texts there.

/// The longest text from a server that is shown, in characters.
const MAX: usize = 200;

/// Text from a server, escaped and cut.
pub(crate) fn redact(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_server_is_escaped_and_cut() {
        assert_eq!(redact("a\r\n\u{1b}[31mb\u{202e}"), r"a\r\n\u{1b}[31mb\u{202e}");
        assert_eq!(redact(&"x".repeat(1000)).len(), 200);
    }
}
