//! Compiles every case in `pass` and `fail`. The name of a case is its claim.
//!
//! `TRYBUILD=overwrite cargo test -p dspinlock-compile-tests` rewrites the messages. Read them as a user before you
//! commit them.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_attribute_accepts_every_pass_and_explains_every_fail() {
    // One `TestCases` for both, because each builds the dependencies.
    let cases = trybuild::TestCases::new();
    cases.pass("pass/**/*.rs");
    cases.compile_fail("fail/**/*.rs");
}

/// The texts of all expected messages, with their files.
fn messages() -> Vec<(PathBuf, String)> {
    let mut messages = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fail");
    for folder in fs::read_dir(root).expect("the folder of the cases") {
        let folder = folder.expect("a folder").path();
        for file in fs::read_dir(folder).expect("a folder of cases") {
            let file = file.expect("a file").path();
            if file.extension().is_some_and(|extension| extension == "stderr") {
                let text = fs::read_to_string(&file).expect("a text");
                messages.push((file, text));
            }
        }
    }
    messages
}

#[test]
fn no_message_names_a_private_trait_or_explains_the_implementation() {
    for (file, text) in messages() {
        for error in text.split("\n\n") {
            let names_a_trait = |line: &&str| line.contains("trait `") || line.contains("to implement `");
            for line in error.lines().filter(names_a_trait) {
                assert!(
                    !line.contains("__private") && !line.contains("dspinlock_runtime"),
                    "{}: {line}",
                    file.display()
                );
            }
            let lines = error.lines().count();
            assert!(lines <= 25, "{}: {lines} lines\n{error}", file.display());
        }
    }
}

#[test]
fn every_wrong_usage_has_one_error() {
    // In these cases one usage is wrong in several ways, or the body is.
    const SEVERAL: [&str; 6] = [
        "all_errors_are_reported_at_once",
        "a_variadic_function_is_refused",
        "a_duration_is_text_with_units",
        "a_literal_outside_the_limits_is_refused",
        "an_unknown_argument_gets_a_suggestion",
        "an_argument_of_another_crate_is_translated",
    ];
    let mut total = 0;
    for (file, text) in messages() {
        let is_body = file.parent().is_some_and(|folder| folder.ends_with("body"));
        let name = file.file_stem().expect("a name").to_string_lossy();
        if is_body || SEVERAL.contains(&&*name) {
            continue;
        }
        let case = fs::read_to_string(file.with_extension("rs")).expect("a case");
        let usages = case
            .split("\n\n")
            .filter(|item| item.contains("#[dspinlock") || item.contains("site(\""))
            .map(|item| item.matches("fn ").count().max(1))
            .sum::<usize>();
        let errors = text.lines().filter(|line| line.starts_with("error")).count();
        assert_eq!(errors, usages, "{}", file.display());
        total += usages;
    }
    assert!(total >= 60, "{total} wrong usages");
}
