//! The name of a site, which distinguishes annotated functions. It is part of the key, of messages and of the holder's
//! record. `order` and `names` call this module.

use std::borrow::Cow;

use super::site::Site;

/// The site's name. `body` is the `type_name` of the function's body.
///
/// For a free function the name is its path. For a method it contains the type and the trait. For a generic function it
/// ends with the type and const arguments. An explicit `name` replaces the path, but not these arguments.
pub(crate) fn site_name(site: &Site, body: &'static str) -> Cow<'static, str> {
    let body = function(site, body);
    if generics_start(&body) == body.len() {
        return site.name.map_or(body, Cow::Borrowed);
    }
    let mut name = String::new();
    pieces(site, &body, |piece| name.push_str(piece));
    Cow::Owned(name)
}

/// The same name in pieces. Allocates only if it contains a lifetime.
pub(crate) fn site_name_pieces(site: &Site, body: &'static str, put: impl FnMut(&str)) {
    pieces(site, &function(site, body), put);
}

/// The name of the annotated function with its arguments, from the `type_name` of its body, or of a closure in the function
/// that `entry = ...` generates beside it.
fn function(site: &Site, body: &'static str) -> Cow<'static, str> {
    let body = without_lifetimes(without_closures(body));
    let Some(entry) = site.entry else { return body };
    let (path, generics) = body.split_at(generics_start(&body));
    let function = site.path.rsplit("::").next();
    match path.strip_suffix(entry).zip(function) {
        Some((parent, function)) => Cow::Owned(format!("{parent}{function}{generics}")),
        None => body,
    }
}

fn pieces(site: &Site, body: &str, mut put: impl FnMut(&str)) {
    let (path, generics) = body.split_at(generics_start(body));
    put(site.name.unwrap_or(path));
    if generics.is_empty() {
        return;
    }
    let kept = arguments(&generics[1..generics.len() - 1])
        .enumerate()
        .filter(|(position, _)| !site.skipped_generics.contains(position));
    let mut open = false;
    for (_, argument) in kept {
        put(if open { ", " } else { "<" });
        put(argument);
        open = true;
    }
    if open {
        put(">");
    }
}

fn without_closures(mut body: &'static str) -> &'static str {
    while let Some(shorter) = body.strip_suffix("::{{closure}}") {
        body = shorter;
    }
    body
}

/// Whether an argument or a type in the name is a closure. A function or a type inside a closure has a further segment.
pub(crate) fn has_closure(name: &str) -> bool {
    let mut rest = name.split(CLOSURE).skip(1);
    rest.any(|rest| !rest.starts_with("::"))
}

/// Whether the name of a site with a `name` contains every type argument of the body: only the function itself is generic. The
/// `name` also replaces the type of `self`, which calls then share on purpose.
pub(crate) fn has_every_type(body: &'static str) -> bool {
    let body = without_lifetimes(without_closures(body));
    let (path, generics) = body.split_at(generics_start(&body));
    !generics.is_empty() && !path.contains('<')
}

/// How the compiler prints every closure.
const CLOSURE: &str = "{{closure}}";

/// A lifetime never distinguishes two instantiations, and how it is printed is not specified.
fn without_lifetimes(body: &'static str) -> Cow<'static, str> {
    if !body.contains('\'') {
        return Cow::Borrowed(body);
    }
    let mut text = String::new();
    let mut start = 0;
    for (at, length) in char_literals(body) {
        text.push_str(&erase(&body[start..at]));
        text.push_str(&body[at..at + length]);
        start = at + length;
    }
    text.push_str(&erase(&body[start..]));
    Cow::Owned(text)
}

/// Removes the lifetimes of a text without character literals.
fn erase(text: &str) -> String {
    let mut text = text.to_owned();
    for (lifetime, nothing) in [
        ("'_, ", ""),
        (", '_", ""),
        (" + '_", ""),
        ("::<'_>", ""),
        ("<'_>", ""),
        ("'_ ", ""),
    ] {
        text = text.replace(lifetime, nothing);
    }
    text
}

/// The positions and lengths of the character literals in a name. A const argument may be one, for example `'>'`.
fn char_literals(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + text[from..].find('\'')?;
            let length = char_literal(&text[at + 1..]);
            from = at + length.max(1);
            if length > 0 {
                return Some((at, length));
            }
        }
    })
}

/// The length of the literal whose quote is before `rest`, or 0 if the quote begins a lifetime.
fn char_literal(rest: &str) -> usize {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        // The character behind the backslash may be a quote too.
        (Some('\\'), Some(_)) => rest[2..].find('\'').map_or(0, |end| end + 4),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

/// The bytes outside character literals, with their positions.
fn code(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut literals = char_literals(text).peekable();
    text.bytes().enumerate().filter(move |(at, _)| {
        while literals
            .next_if(|(start, length)| start + length <= *at)
            .is_some()
        {}
        literals.peek().is_none_or(|(start, _)| at < start)
    })
}

/// The start of the last segment's generic arguments, or the end of the text if it has none.
fn generics_start(path: &str) -> usize {
    if !path.ends_with('>') {
        return path.len();
    }
    let (mut depth, mut start, mut previous) = (0, path.len(), b' ');
    for (at, byte) in code(path) {
        match byte {
            b'<' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            b'>' if previous != b'-' => depth -= 1,
            _ => {}
        }
        previous = byte;
    }
    start
}

/// The arguments of a generic list, split at the commas of the list itself.
fn arguments(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let end = top_level_comma(list).unwrap_or(list.len());
        rest = list.get(end + 1..);
        Some(list[..end].trim())
    })
}

fn top_level_comma(list: &str) -> Option<usize> {
    let mut depth = 0;
    let mut previous = b' ';
    for (at, byte) in code(list) {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if previous == b'-' => {}
            b'>' | b')' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        previous = byte;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site::new("m::f");

    fn name(body: &'static str) -> String {
        site_name(&SITE, body).into_owned()
    }

    #[test]
    fn the_name_of_a_free_function_is_its_path() {
        assert_eq!(name("m::f::{{closure}}"), "m::f");
        assert_eq!(name("m::f::{{closure}}::{{closure}}"), "m::f");
        assert!(matches!(
            site_name(&SITE, "m::f::{{closure}}"),
            Cow::Borrowed("m::f")
        ));
    }

    #[test]
    fn the_name_of_a_method_has_its_type_and_trait_without_lifetimes() {
        assert_eq!(name("m::S<'_, u8>::f::{{closure}}"), "m::S<u8>::f");
        assert_eq!(name("<m::S<'_> as m::Tr>::f::{{closure}}"), "<m::S as m::Tr>::f");
        assert_eq!(name("m::f<dyn m::Tr + '_>::{{closure}}"), "m::f<dyn m::Tr>");
        assert_eq!(name("m::f<&'_ str>::{{closure}}"), "m::f<&str>");
    }

    #[test]
    fn the_name_of_an_instantiation_has_every_argument_but_skipped_ones() {
        let body = "m::f<alloc::vec::Vec<(u8, i8)>, dyn Fn(u8, u8) -> u8, 3>::{{closure}}";
        assert_eq!(
            name(body),
            "m::f<alloc::vec::Vec<(u8, i8)>, dyn Fn(u8, u8) -> u8, 3>"
        );
        let mut site = SITE;
        site.skipped_generics = &[0];
        assert_eq!(site_name(&site, body), "m::f<dyn Fn(u8, u8) -> u8, 3>");
        site.skipped_generics = &[0, 1, 2];
        assert_eq!(site_name(&site, body), "m::f");
        site.name = Some("given");
        site.skipped_generics = &[0, 1];
        assert_eq!(site_name(&site, body), "given<3>");
    }

    #[test]
    fn an_entry_has_the_name_of_its_function() {
        let site = SITE.entry("f_entry");
        for (body, name) in [
            ("m::f_entry::{{closure}}", "m::f"),
            (
                "m::S<'_, u8>::f_entry<m::f_entry>::{{closure}}",
                "m::S<u8>::f<m::f_entry>",
            ),
            ("m::g::{{closure}}::f_entry::{{closure}}", "m::g::{{closure}}::f"),
        ] {
            assert_eq!(site_name(&site, body), name);
            let mut pieces = String::new();
            site_name_pieces(&site, body, |piece| pieces.push_str(piece));
            assert_eq!(pieces, name);
        }
        assert_eq!(
            site_name(&site.name("given"), "m::f_entry<u8>::{{closure}}"),
            "given<u8>"
        );
    }

    #[test]
    fn a_char_argument_is_copied_whatever_its_character() {
        for c in [
            r"'>'",
            r"'<'",
            r"','",
            r"'('",
            r"'\''",
            r"'\\'",
            r"'_'",
            r"'\u{301}'",
            "'é'",
            "'\"'",
            "'-'",
        ] {
            let site = |skipped: &'static [usize]| SITE.name("given").skipped_generics(skipped);
            for (body, kept) in [
                (format!("m::f<{c}, 3>::{{{{closure}}}}"), format!("{c}, 3")),
                (format!("m::f<3, {c}>"), format!("3, {c}")),
                (
                    format!("m::S<'_, u8>::f<&'_ str, {c}, {c}>"),
                    format!("&str, {c}, {c}"),
                ),
            ] {
                let body: &str = body.leak();
                let path = if body.contains("S<") {
                    "m::S<u8>::f"
                } else {
                    "m::f"
                };
                assert_eq!(name(body), format!("{path}<{kept}>"));
                assert_eq!(site_name(&site(&[]), body), format!("given<{kept}>"));
                let (first, rest) = kept.split_once(", ").expect("two arguments");
                assert_eq!(site_name(&site(&[0]), body), format!("given<{rest}>"));
                assert_eq!(
                    site_name(&site(&[1, 2]), body),
                    format!("given<{first}>"),
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn a_given_name_has_every_type_if_only_the_function_is_generic() {
        for body in ["m::f<u8>::{{closure}}", "m::S::f<m::L>", "m::S<'_>::f<m::L>"] {
            assert!(has_every_type(body), "{body}");
        }
        for body in [
            "m::f::{{closure}}",
            "m::S<u8>::f",
            "m::S<u8>::f<m::L>",
            "<m::S as m::Tr>::f<m::L>",
        ] {
            assert!(!has_every_type(body), "{body}");
        }
    }

    #[test]
    fn a_closure_is_found_in_arguments_and_types_but_not_around_a_function() {
        for closure in [
            "m::f<m::main::{{closure}}>",
            "m::f<u8, alloc::vec::Vec<m::main::{{closure}}>>",
            "m::S<m::main::{{closure}}>::f",
            "<m::main::{{closure}} as m::Tr>::f",
            "<m::S<(m::main::{{closure}}, u8)> as m::Tr>::f",
        ] {
            assert!(has_closure(closure), "{closure}");
        }
        for function in ["m::f", "m::main::{{closure}}::f", "m::f<m::main::{{closure}}::L>"] {
            assert!(!has_closure(function), "{function}");
        }
    }
}
