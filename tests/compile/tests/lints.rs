//! Runs clippy on annotated functions, and compares the place of each lint with the comments `//~ lint` in `lints/src/lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A line, and the lint that points to it.
type Lints = Vec<(u64, String)>;

#[test]
fn each_lint_points_to_the_line_of_the_user() {
    let mut found = clippy(&copy_of_the_crate());
    found.sort();
    // A lint may have two places in one line.
    found.dedup();
    assert_eq!(found, expected());
}

fn expected() -> Lints {
    let source = fs::read_to_string(root().join("lints/src/lib.rs")).expect("the crate");
    let comment = |(line, text): (u64, &str)| {
        Some((
            line,
            text.split_once("; //~ ")
                .or(text.split_once("{ //~ "))?
                .1
                .to_owned(),
        ))
    };
    (1..).zip(source.lines()).filter_map(comment).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A package outside of the workspace, so that clippy of the workspace does not see its lints.
fn copy_of_the_crate() -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints");
    let workspace = root().join("../..").canonicalize().expect("the workspace");
    let manifest = format!(
        "[package]\nname = \"lints\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ndspinlock = {{ path = {workspace:?}, default-features = false }}\n"
    );
    fs::create_dir_all(package.join("src")).expect("a folder");
    fs::write(package.join("Cargo.toml"), manifest).expect("the manifest is written");
    fs::copy(workspace.join("Cargo.lock"), package.join("Cargo.lock")).expect("the versions are the same");
    fs::copy(root().join("lints/src/lib.rs"), package.join("src/lib.rs")).expect("the crate is copied");
    package
}

fn clippy(package: &Path) -> Lints {
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "--quiet", "--offline", "--message-format=json"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "clippy fails; if it is missing, run `rustup component add clippy`:\n{errors}"
    );
    let messages = String::from_utf8(output.stdout).expect("text");
    messages
        .lines()
        .flat_map(|line| lints(&serde_json::from_str(line).expect("JSON")))
        .collect()
}

/// The lines and the name of a lint. A message without a name is a summary of the compiler.
fn lints(message: &Value) -> Lints {
    let message = &message["message"];
    let Some(name) = message["code"]["code"].as_str() else {
        return vec![];
    };
    let spans = message["spans"].as_array().expect("each lint has spans");
    let primary = spans.iter().filter(|span| span["is_primary"] == true);
    let line = |span: &Value| span["line_start"].as_u64().expect("a line");
    primary.map(|span| (line(span), name.to_owned())).collect()
}
