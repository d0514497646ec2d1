//! Finds the programs and libraries that `./check` installs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Finds the program `name` in the repository's `.tools` folder, then on the `PATH`.
///
/// # Panics
///
/// Panics if it is missing: a test that cannot run must not pass.
pub fn tool(name: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools");
    let own = [tools.join(name), tools.join("py/bin").join(name)];
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian's proxies are here, which is not on the `PATH` of every user.
    let system = [Path::new("/usr/sbin").join(name)];
    own.into_iter()
        .chain(env::split_paths(&path).map(|folder| folder.join(name)))
        .chain(system)
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("`{name}` is missing: run `./check tools` to install it"))
}

/// The environment of a process whose wall clock is shifted, for example by `+1h`. Its monotonic clock is correct.
///
/// # Panics
///
/// Panics if libfaketime is missing.
pub fn shifted_clock(by: &str) -> Vec<(&'static str, String)> {
    let found = fs::read_dir("/usr/lib").expect("`/usr/lib` can be read");
    let library = found
        .map_while(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
        .expect("`libfaketime` is missing: run `./check tools` to install it");
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", by.into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ]
}
