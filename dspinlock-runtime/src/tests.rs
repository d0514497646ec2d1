//! Writes `docs/messages.md`: every message of the crate on one page, so that a change of wording shows in review.
//!
//! `UPDATE_EXPECT=1 cargo test -p dspinlock-runtime --lib -- tests::every_message` rewrites the page.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect_file;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::error::*;

#[test]
fn every_message_stands_on_one_page() {
    let mut page = String::from(HEADER);
    for error in samples() {
        let name = describe(&error);
        writeln!(page, "- `{name}`: {error}").unwrap();
    }
    for (title, folder) in [
        ("the run time", "src"),
        ("the attribute", "../dspinlock-macros/src"),
    ] {
        write!(page, "\n## Texts in the sources of {title}\n").unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in source_files(&folder) {
            let texts = texts_of(&file);
            if !texts.is_empty() {
                let name = file.strip_prefix(&folder).expect("below the folder");
                write!(page, "\n`{}`\n\n", name.display()).unwrap();
                texts.iter().for_each(|text| writeln!(page, "- {text}").unwrap());
            }
        }
    }
    expect_file!["../../docs/messages.md"].assert_eq(&page);
}

const HEADER: &str = "\
# Messages

A test writes this page. A message that is not on it fails that test.

## Errors

";

#[test]
fn every_variant_has_a_sample() {
    let sampled: BTreeSet<String> = samples().iter().map(|error| describe(error).to_owned()).collect();
    assert_eq!(sampled, variants("Error"));
    let reasons = store_failures().into_iter().map(|reason| format!("{reason:?}"));
    let sampled: BTreeSet<String> = reasons.map(|text| first_word(&text)).collect();
    assert_eq!(sampled, variants("StoreFailure"));
}

#[test]
fn the_source_of_a_store_error_is_its_reason() {
    for error in samples() {
        let is_store_error = matches!(error, Error::Store { .. });
        assert_eq!(error.source().is_some(), is_store_error, "{error}");
    }
}

#[test]
fn an_error_names_the_site_that_it_passes() {
    let error = Error::LeaseLost {
        key: KeyName::new("", "dspinlock,3f2a"),
    };
    let named = error.at("app::price").to_string();
    assert!(named.contains("`app::price` (dspinlock,3f2a)"), "{named}");
}

/// The name of a variant.
fn describe(error: &Error) -> String {
    first_word(&format!("{error:?}"))
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

/// The variants of an enum, read from the source.
fn variants(name: &str) -> BTreeSet<String> {
    let source = include_str!("error.rs");
    let (_, body) = source
        .split_once(&format!("pub enum {name} {{"))
        .expect("the enum");
    let (body, _) = body.split_once("\n}").expect("the end of the enum");
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(first_word)
        .collect()
}

fn samples() -> Vec<Error> {
    let key = || KeyName::new("app::price", "dspinlock,3f2a…");
    let store = |reason| Error::Store {
        operation: "publish",
        key: key(),
        reason,
    };
    let mut samples = vec![
        Error::AtomicQueryInvalidState { key: key() },
        Error::InvalidMutexReleaseEncountered { key: key() },
        Error::RedisNotInitialized {
            address: "localhost:6380".into(),
            reason: "connection refused".into(),
        },
        Error::EmbeddedNotInitialized {
            path: "/var/lib/app/locks.sqlite".into(),
            reason: "permission denied".into(),
        },
        Error::SpinlockTriesExceeded {
            key: key(),
            waited: Duration::from_secs(5),
            holder: None,
            holding: Box::default(),
        },
        Error::SpinlockTriesExceeded {
            key: key(),
            waited: Duration::from_secs(5),
            holder: Some(Holder::new(HolderFields {
                site: "app::price".into(),
                label: String::new(),
                host: "web-1".into(),
                process_id: 4711,
                held_for: Duration::from_millis(1200),
                lease_left: Some(Duration::from_millis(9500)),
                is_computed: false,
            })),
            holding: Box::default(),
        },
        Error::SpinlockTriesExceeded {
            key: key(),
            waited: Duration::from_secs(5),
            holder: Some(Holder::new(HolderFields {
                site: "app::price".into(),
                label: "order:7".into(),
                host: "web-1".into(),
                process_id: 4711,
                held_for: Duration::from_millis(6000),
                lease_left: None,
                is_computed: false,
            })),
            holding: ["app::stock", "app::order"]
                .map(|site| KeyName::new(site, "dspinlock,9c1e…"))
                .into(),
        },
        Error::InvalidValueEncounteredDuringUnpacking { key: key() },
        Error::FailIfKeyExistsIsEnabled {
            key: key(),
            remaining: Some(Duration::from_secs(9)),
            holder: Some(Holder::new(HolderFields {
                site: String::new(),
                label: String::new(),
                host: "web-1".into(),
                process_id: 4711,
                held_for: Duration::from_secs(20),
                lease_left: Some(Duration::from_secs(9)),
                is_computed: false,
            })),
        },
        Error::FailIfKeyExistsIsEnabled {
            key: key(),
            remaining: Some(Duration::from_secs(3600)),
            holder: Some(Holder::new(HolderFields {
                site: "app::price".into(),
                label: String::new(),
                host: "web-1".into(),
                process_id: 4711,
                held_for: Duration::from_secs(20),
                lease_left: Some(Duration::from_secs(3600)),
                is_computed: true,
            })),
        },
        Error::FailIfKeyExistsIsEnabled {
            key: key(),
            remaining: None,
            holder: None,
        },
        Error::ProvidedObjectIsNotHashable {
            site: "app::price".into(),
        },
        Error::LeaseLost { key: key() },
        Error::KeyReused { key: key() },
        Error::Codec {
            key: key(),
            reason: "its `Serialize` implementation returned an error".into(),
        },
        Error::ValueTooLarge {
            key: key(),
            size: 9_000_000,
            limit: 8 << 20,
        },
        Error::Recursion { key: key() },
        Error::AlreadyInitialized,
        Error::Closed,
        Error::Forked,
        Error::InvalidUrl {
            reason: "unknown scheme".into(),
        },
        Error::option("`ttl` must be > 0 and <= 100 years, not 0ns"),
    ];
    samples.extend(store_failures().into_iter().map(store));
    samples
}

fn store_failures() -> Vec<StoreFailure> {
    vec![
        StoreFailure::Timeout,
        StoreFailure::Disconnected,
        StoreFailure::TooFewReplicas {
            wanted: 2,
            acknowledged: 1,
        },
        StoreFailure::PermissionDenied("the user may not run `EVALSHA`: grant it with `ACL SETUSER`".into()),
        StoreFailure::Unavailable("OOM".into()),
        StoreFailure::Refused("WRONGTYPE".into()),
    ]
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.file_stem().and_then(|name| name.to_str()) {
            Some("tests") => {}
            _ if path.is_dir() => files.extend(source_files(&path)),
            _ if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            _ => {}
        }
    }
    files.sort();
    files
}

/// The string literals of two words or more, without documentation and tests.
fn texts_of(file: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(file).expect("a source file");
    let mut texts = Vec::new();
    collect(source.parse().expect("Rust"), &mut texts);
    texts
}

fn collect(tokens: TokenStream, texts: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.to_string() == text);
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            // `#[doc = "…"]` and `#[cfg(test)] mod tests { … }`.
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Bracket && is_skipped(group.stream()) =>
            {
                let is_test = is(at + 1, "mod") && group.stream().to_string().starts_with("cfg");
                at += if is_test { 3 } else { 0 };
            }
            TokenTree::Group(group) => collect(group.stream(), texts),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                if let Some(text) = text.filter(|text| text.trim().contains(' ') && !is_statement(text)) {
                    texts.push(shown(text));
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Statements for SQLite and Redis are no messages.
fn is_statement(text: &str) -> bool {
    const VERBS: [&str; 7] = [
        "CREATE ",
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        "DELETE ",
        "PRAGMA ",
        "redis.call",
    ];
    VERBS
        .iter()
        .any(|verb| text.replace("\\\n", "").trim_start().starts_with(verb))
}

/// Joins the lines of a literal that a backslash continues.
fn shown(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let text = lines.fold(first, |text, line| text + line.trim_start());
    text.replace("\\\"", "\"")
}

fn is_skipped(attribute: TokenStream) -> bool {
    let text = attribute.to_string();
    text.starts_with("doc") || text.replace(' ', "") == "cfg(test)" || text.starts_with("expect")
}
