//! Checks of the manifest: the minimum Rust version, and the number of dependencies.
//!
//! The tests call `cargo` for a fixed target, so that they give the same result on every machine.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Number of crates in a build with these features, dspinlock's own crates included. Change it together with a dependency.
const CRATES: [(&str, usize); 3] = [
    ("--no-default-features", 97),
    ("--features=default", 110),
    ("--all-features", 124),
];

#[test]
fn rust_version_is_the_lowest_that_the_dependencies_allow() {
    let rust_version = version(env!("CARGO_PKG_RUST_VERSION"));
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--all-features",
        "--filter-platform",
        TARGET,
    ]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo metadata prints JSON");
    let dependencies = dependencies("--all-features");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let mut checked = 0;
    let mut lowest = version("1.0");
    for package in packages {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        if dependencies.contains(&(text("name"), text("version"))) {
            let needed = text("rust_version");
            assert!(
                version(&needed) <= rust_version,
                "{} {} needs Rust {needed}, but rust-version is {}",
                text("name"),
                text("version"),
                env!("CARGO_PKG_RUST_VERSION")
            );
            lowest = lowest.max(version(&needed));
            checked += 1;
        }
    }
    assert_eq!(checked, dependencies.len(), "cargo metadata lists every crate");
    assert_eq!(lowest, rust_version, "rust-version is higher than necessary");
}

#[test]
fn the_number_of_crates_is_as_listed() {
    for (features, expected) in CRATES {
        let crates = dependencies(features);
        assert_eq!(crates.len(), expected, "crates with {features}: {crates:#?}");
    }
}

#[test]
fn without_default_features_sqlite_is_not_a_dependency() {
    let has_sqlite = |features| dependencies(features).iter().any(|(name, _)| name == "rusqlite");
    assert!(has_sqlite("--features=default"));
    assert!(!has_sqlite("--no-default-features"));
}

/// Name and version of the crates that are built for a user of dspinlock. Features of dev-dependencies are not unified.
fn dependencies(features: &str) -> BTreeSet<(String, String)> {
    let tree = cargo(&[
        "tree",
        "--package=dspinlock",
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
        "--target",
        TARGET,
        features,
    ]);
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split(' ').next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    tree.lines().filter_map(package).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--locked")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// `1.89` equals `1.89.0`. A crate without `rust_version` needs version 0.
fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}
