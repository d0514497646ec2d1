//! Writes the crates of the workspace.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The attribute of the functions.
#[derive(Clone, Copy)]
pub(crate) enum Attribute {
    Ours,
    Cached,
    None,
}

impl Attribute {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Cached => "cached",
            Self::None => "plain",
        }
    }

    /// Both crates support only Redis, with tokio and without TLS.
    fn dependency(self) -> String {
        match self {
            Self::Ours => format!(
                "dspinlock = {{ path = {:?}, default-features = false }}",
                env!("CARGO_MANIFEST_DIR")
            ),
            Self::Cached => r#"cached = { version = "=4.1.0", default-features = false, features = ["proc_macro", "redis_tokio"] }"#
                .into(),
            Self::None => String::new(),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Ours => r#"#[dspinlock::dspinlock(cached_if_computed, ttl = "1h")]"#,
            Self::Cached => {
                "#[cached::macros::concurrent_cached(redis = true, ttl_secs = 3600, map_error = |error| Error::from(error))]"
            }
            Self::None => "",
        }
    }
}

/// Writes the workspace with the dependency versions of this repository.
pub(crate) fn write_workspace(folder: &Path) {
    put(
        &folder.join("Cargo.toml"),
        "[workspace]\nmembers = [\"*_*\"]\nresolver = \"3\"\n\n[profile.release]\nstrip = true\n",
    );
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let versions = fs::read_to_string(lock).expect("the lock file of the repository");
    // An existing lock file contains `cached` too.
    if !folder.join("Cargo.lock").exists() {
        put(&folder.join("Cargo.lock"), &versions);
    }
}

pub(crate) fn write(folder: &Path, name: &str, attribute: Attribute, functions: usize) {
    fs::create_dir_all(folder.join("src")).expect("the folder can be created");
    let manifest = format!(
        r#"[package]
name = "{name}"
edition = "2024"

[dependencies]
{}
serde = {{ version = "1", features = ["derive"] }}
tokio = {{ version = "1", features = ["rt"] }}
"#,
        attribute.dependency()
    );
    put(&folder.join("Cargo.toml"), &manifest);
    put(&folder.join("src/main.rs"), &source(attribute, functions));
}

fn source(attribute: Attribute, functions: usize) -> String {
    let mut source = HEAD.to_owned();
    let mut calls = String::new();
    for number in 0..functions {
        source += &FUNCTION
            .replace("ATTRIBUTE", attribute.text())
            .replace("NUMBER", &number.to_string());
        let call = format!("value{number}(id).await.map_or(0, |value| value.id)");
        writeln!(calls, "        Box::pin(async move {{ {call} }}),")
            .expect("writing to a String does not fail");
    }
    source + &MAIN.replace("CALLS", &calls)
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).expect("the file can be written");
}

const HEAD: &str = r#"#![allow(dead_code)]

use std::future::Future;
use std::pin::Pin;

#[derive(Debug)]
pub struct Error(String);

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
"#;

const FUNCTION: &str = r#"
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct ValueNUMBER {
    id: u64,
    name: String,
    price: f64,
    tags: Vec<String>,
    parent: Option<u32>,
    active: bool,
}

ATTRIBUTE
pub async fn valueNUMBER(id: u64) -> Result<ValueNUMBER, Error> {
    let name = format!("value NUMBER of {id}");
    let tags = vec![name.clone()];
    Ok(ValueNUMBER { id, name, price: 1.5, tags, parent: None, active: true })
}
"#;

const MAIN: &str = r#"
fn main() {
    let id = std::env::args().count() as u64;
    let calls: Vec<Pin<Box<dyn Future<Output = u64>>>> = vec![
CALLS    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let total: u64 = calls.into_iter().map(|call| runtime.block_on(call)).sum();
    println!("{total}");
}
"#;
