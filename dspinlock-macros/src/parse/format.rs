//! Splits a format string of a key into its holes. `value` calls it. The compiler checks each hole when it expands
//! `format_args!`.

/// The holes of a format string, such as `{id:?}`, with their braces. A brace without its partner ends the last one.
pub(crate) fn holes(text: &str) -> Vec<&str> {
    let mut holes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{', '}']) {
        let brace = &rest[start..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            rest = &brace[2..];
            continue;
        }
        let end = brace.find('}').map_or(brace.len(), |end| end + 1);
        holes.push(&brace[..end]);
        rest = &brace[end..];
    }
    holes
}

/// What stands before the format specification: a name if the hole is valid.
pub(crate) fn argument(hole: &str) -> &str {
    let inner = hole.trim_start_matches('{').trim_end_matches('}');
    inner.split(':').next().unwrap_or_default().trim()
}

/// Whether a hole can take it.
pub(crate) fn is_name(argument: &str) -> bool {
    let is_first = |c: char| c == '_' || c.is_alphabetic();
    argument.starts_with(is_first) && argument.chars().all(|c| is_first(c) || c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::{argument, holes, is_name};

    #[test]
    fn a_name_begins_with_a_letter() {
        for name in ["id", "_", "self", "größe", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", "0", "1a", "a.b", "f()", "r#type", "'a"] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn a_hole_is_what_the_braces_enclose() {
        for (text, expected) in [
            ("", &[][..]),
            ("user", &[]),
            ("{{user}}", &[]),
            ("{a}:{b:?}", &["{a}", "{b:?}"]),
            ("{{{id:>5}}}", &["{id:>5}"]),
            ("{}", &["{}"]),
            ("{a}{b", &["{a}", "{b"]),
            ("a}", &["}"]),
            ("{a}}}{b}", &["{a}", "{b}"]),
        ] {
            assert_eq!(holes(text), expected, "{text}");
        }
    }

    #[test]
    fn the_argument_stands_before_the_colon() {
        for (hole, expected) in [
            ("{id}", "id"),
            ("{ id :>5}", "id"),
            ("{}", ""),
            ("{:?}", ""),
            ("{a.b:?}", "a.b"),
        ] {
            assert_eq!(argument(hole), expected, "{hole}");
        }
    }
}
