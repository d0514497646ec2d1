//! Finds the programs that `./check` installs.

use std::env;
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
