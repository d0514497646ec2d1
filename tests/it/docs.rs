//! The documents agree with the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// The Rust files below `folder`, each with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            files.push((path, text));
        }
    }
    files
}

/// Whether the text has a test of this name. `tests/process` has a list of its tests.
fn has_test(text: &str, name: &str) -> bool {
    if text.contains("list![") && text.contains(&format!("::{name},")) {
        return true;
    }
    let signature = format!("fn {name}(");
    text.match_indices(&signature).any(|(at, _)| {
        let attributes = text[..at].rsplit("\n\n").next().unwrap_or_default();
        attributes.contains("test]") || attributes.contains("test(")
    })
}

/// Whether a test (`name`) or a file of tests (`path/to/file.rs`) exists.
fn exists(shown_by: &str, sources: &[(PathBuf, String)]) -> bool {
    match shown_by.ends_with(".rs") {
        true => root().join(shown_by).is_file(),
        false => sources.iter().any(|(_, text)| has_test(text, shown_by)),
    }
}

/// The code spans in the last column of every table.
fn last_column(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
}

/// The rows of the tables of docs/promises.md.
fn promises(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("| shown by |"))
}

/// Limits of the design, which no change of the code breaks.
const LIMITS: usize = 3;

/// Whether the row states a limit: its last column begins with this word.
fn is_limit(row: &str) -> bool {
    let last = row.trim_end_matches('|').rsplit('|').next();
    last.is_some_and(|cell| cell.trim_start().starts_with("limit: "))
}

/// The test of each mutation of `tests/mutations promises`: the first text of its line.
fn mutated_tests(script: &str) -> Vec<&str> {
    let (_, list) = script
        .split_once("\nPROMISES = [\n")
        .expect("the list of mutations");
    let (list, _) = list.split_once("\n]\n").expect("the end of the list");
    let mutations = list.lines().filter(|line| line.starts_with("    ("));
    mutations
        .map(|line| line.split('"').nth(1).expect("the name of a test"))
        .collect()
}

/// Whether a row shows its promise by this test, or by the file that has it.
fn names_test(row: &str, test: &str) -> bool {
    last_column(row).any(|name| match name.ends_with(".rs") {
        true => has_test(&read(name), test),
        false => name == test,
    })
}

#[test]
fn every_promise_has_a_mutation_or_is_a_limit() {
    let (page, script) = (read("docs/promises.md"), read("tests/mutations"));
    let tests = mutated_tests(&script);
    let is_mutated = |row: &&str| tests.iter().any(|test| names_test(row, test));
    let missing: Vec<&str> = promises(&page)
        .filter(|row| !is_limit(row) && !is_mutated(row))
        .collect();
    assert!(
        missing.is_empty(),
        "tests/mutations changes nothing for these rows of docs/promises.md: {missing:#?}"
    );
    assert_eq!(promises(&page).filter(|row| is_limit(row)).count(), LIMITS);
}

#[test]
fn every_mutation_belongs_to_a_promise() {
    let (page, script) = (read("docs/promises.md"), read("tests/mutations"));
    let tests = mutated_tests(&script);
    assert!(tests.len() > 80, "the list of mutations was not found: {tests:?}");
    let is_named = |test: &&&str| promises(&page).any(|row| names_test(row, test));
    let unnamed: Vec<&&str> = tests.iter().filter(|test| !is_named(test)).collect();
    assert!(
        unnamed.is_empty(),
        "docs/promises.md does not name these tests of tests/mutations: {unnamed:?}"
    );
}

#[test]
fn every_test_that_the_promises_name_exists() {
    let folders = ["tests", "dspinlock-runtime/src", "dspinlock-runtime/tests"];
    let sources: Vec<_> = folders
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .collect();
    let page = read("docs/promises.md");
    let names: Vec<&str> = last_column(&page).collect();
    let missing: Vec<&&str> = names.iter().filter(|name| !exists(name, &sources)).collect();
    assert!(names.len() > 50, "the tables of docs/promises.md were not found");
    assert!(
        missing.is_empty(),
        "docs/promises.md names tests that do not exist: {missing:#?}"
    );
}

#[test]
fn every_promise_names_a_test() {
    let page = read("docs/promises.md");
    let unproven: Vec<&str> = promises(&page)
        .filter(|row| last_column(row).next().is_none())
        .collect();
    assert!(
        unproven.is_empty(),
        "these rows of docs/promises.md name no test: {unproven:#?}"
    );
}

#[test]
fn the_readme_has_at_most_200_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 200, "README.md has {lines} lines");
}

#[test]
fn the_readme_states_the_minimum_rust_version() {
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .expect("the workspace has a minimum Rust version");
    let sentence = format!("**Rust version:** {version} or later");
    assert!(
        read("README.md").contains(&sentence),
        "README.md does not say {sentence:?}"
    );
}

/// The pages for readers, by their paths in the repository.
fn pages() -> Vec<String> {
    let root_pages = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ];
    let folder = fs::read_dir(root().join("docs")).expect("the folder of pages");
    let names = folder.map(|entry| entry.expect("an entry").file_name().into_string());
    let names = names.map(|name| name.expect("a UTF-8 name"));
    let manuals = names
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"));
    root_pages.map(str::to_owned).into_iter().chain(manuals).collect()
}

/// The file of this repository that a link leads to, and the anchor in it. `None` for another site.
fn target<'a>(page: &str, link: &'a str) -> Option<(PathBuf, &'a str)> {
    const REPOSITORY: [&str; 2] = [
        "https://github.com/dspinlock/dspinlock/blob/main/",
        "https://raw.githubusercontent.com/dspinlock/dspinlock/main/",
    ];
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let page = root().join(page);
    let path = REPOSITORY.iter().find_map(|prefix| file.strip_prefix(prefix));
    match path {
        Some(path) => Some((root().join(path), anchor)),
        None if file.contains("://") => None,
        None if file.is_empty() => Some((page, anchor)),
        None => Some((page.parent().expect("a page is in a folder").join(file), anchor)),
    }
}

/// Whether the page has a heading with this anchor.
fn has_heading(page: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(page).expect("a page is UTF-8");
    let slug = |heading: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(kept)
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| slug(line.trim_start_matches('#')) == anchor)
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((file, anchor)) = target(&page, link) else {
                continue;
            };
            assert!(file.exists(), "{page} links to {link}, which does not exist");
            let leads = anchor.is_empty() || has_heading(&file, anchor);
            assert!(leads, "{page} links to {link}, but no heading has this anchor");
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} links were found");
}

#[test]
fn every_program_of_a_page_is_compiled() {
    let library = read("src/lib.rs");
    let mut pages = pages();
    pages.retain(|page| read(page).contains("```rust"));
    let missing: Vec<&String> = pages
        .iter()
        .filter(|page| !library.contains(&format!("include_str!(\"../{page}\")")))
        .collect();
    assert!(pages.len() > 12, "the pages were not found: {pages:?}");
    assert!(
        missing.is_empty(),
        "src/lib.rs does not include these pages: {missing:?}"
    );
}

#[test]
fn the_index_names_every_page_of_the_guide() {
    let library = read("src/lib.rs");
    let (_, guide) = library
        .split_once("pub mod guide {")
        .expect("the module of the guide");
    let (guide, _) = guide.split_once("\n}").expect("its end");
    let names = guide.split("pub mod ").skip(1);
    let names: Vec<&str> = names.filter_map(|rest| rest.split(' ').next()).collect();
    assert!(names.len() > 10, "the pages were not found: {names:?}");
    for name in names {
        let entry = format!("- [`guide::{name}`]: ");
        assert!(library.contains(&entry), "the index does not name `{name}`");
    }
}

#[test]
fn the_readme_and_the_manual_name_every_argument() {
    let sources = sources(&root().join("dspinlock-macros/src"));
    let list = sources
        .iter()
        .find_map(|(_, text)| text.split("const ARGUMENTS").nth(1)?.split("];").next())
        .expect("the list of the attribute's arguments");
    let names = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    let (readme, manual) = (read("README.md"), read("docs/attribute.md"));
    let names: Vec<&str> = names.collect();
    assert!(names.len() >= 16, "the list was not found: {names:?}");
    for name in names {
        assert!(
            readme.contains(&format!("`{name}")),
            "README.md does not name `{name}`"
        );
        assert!(
            manual.contains(&format!("`{name}")),
            "docs/attribute.md does not name `{name}`"
        );
    }
}
