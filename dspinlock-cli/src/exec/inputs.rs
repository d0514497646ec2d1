//! The files of `--input` as a part of the key. `exec` calls it.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The name of a file as it was given, and the SHA-256 of its contents.
#[derive(Debug, Serialize)]
pub(super) struct Input {
    name: Vec<u8>,
    digest: [u8; 32],
}

/// Reads the files. The order in which they were given does not matter.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Input>, String> {
    let mut files: Vec<&PathBuf> = files.iter().collect();
    files.sort();
    files.dedup();
    let input = |file: &PathBuf| {
        let failed = |error| format!("cannot read the input `{}`: {error}", file.display());
        let mut contents = Hasher(Sha256::new());
        io::copy(&mut File::open(file).map_err(failed)?, &mut contents).map_err(failed)?;
        Ok(Input {
            name: file.as_os_str().as_bytes().to_vec(),
            digest: contents.0.finalize().into(),
        })
    };
    files.into_iter().map(input).collect()
}

struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
