//! The name of a site, which distinguishes annotated functions. It is part of the key, of messages and of the holder's
//! record. `start` calls this module.

use std::borrow::Cow;

use super::site::Site;

/// The site's name. `body` is the `type_name` of the function's body.
///
/// For a free function the name is its path. For a method it contains the type and the trait. For a generic function it
/// ends with the type and const arguments. An explicit `name` replaces the path, but not these arguments.
pub(crate) fn site_name(site: &Site, body: &'static str) -> Cow<'static, str> {
    let body = without_lifetimes(without_closures(body));
    if generics_start(&body) == body.len() {
        return site.name.map_or(body, Cow::Borrowed);
    }
    let mut name = String::new();
    pieces(site, &body, |piece| name.push_str(piece));
    Cow::Owned(name)
}

/// The same name in pieces. Allocates only if it contains a lifetime.
pub(crate) fn site_name_pieces(site: &Site, body: &'static str, put: impl FnMut(&str)) {
    pieces(site, &without_lifetimes(without_closures(body)), put);
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

/// A lifetime never distinguishes two instantiations, and how it is printed is not specified.
fn without_lifetimes(body: &'static str) -> Cow<'static, str> {
    if !body.contains('\'') {
        return Cow::Borrowed(body);
    }
    let mut text = body.to_owned();
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
    Cow::Owned(text)
}

/// The start of the last segment's generic arguments, or the end of the text if it has none.
fn generics_start(path: &str) -> usize {
    let bytes = path.as_bytes();
    if bytes.last() != Some(&b'>') {
        return path.len();
    }
    let mut depth = 0;
    for at in (0..bytes.len()).rev() {
        match bytes[at] {
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' => depth += 1,
            b'<' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    path.len()
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
    for (at, byte) in list.bytes().enumerate() {
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
}
