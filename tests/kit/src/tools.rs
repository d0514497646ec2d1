//! Finds the programs that `./check` installs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The program `name` of the repository's `.tools` folder, else of the `PATH`.
///
/// # Panics
///
/// Where it is missing: a test that cannot run must not pass.
pub fn tool(name: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools");
    let own = [tools.join(name), tools.join("py/bin").join(name)];
    let path = env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(env::split_paths(&path).map(|folder| folder.join(name)))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: run `./check` once, it installs what the tests need"))
}

/// The environment of a process whose wall clock is wrong by so much, such as `+1h`; its monotonic clock is left alone.
///
/// # Panics
///
/// Where libfaketime is missing.
pub fn wrong_clock(by: &str) -> Vec<(&'static str, String)> {
    let found = fs::read_dir("/usr/lib").expect("a system with libraries");
    let library = found
        .map_while(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
        .expect("libfaketime is missing: run `./check` once, it installs what the tests need");
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", by.into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ]
}
