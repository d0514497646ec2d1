//! Looks at the file of the embedded store.

use std::io;
use std::path::Path;

use super::report::{Finding, Report};

/// A store with less than this may soon refuse steps.
#[cfg(unix)]
const LITTLE_SPACE: u64 = 100 << 20;

pub(super) fn check(path: &Path, report: &mut Report) -> io::Result<()> {
    report.add(Finding::ok("file", format_args!("`{}`", path.display())))?;
    #[cfg(unix)]
    {
        report.add(mode(path))?;
        report.add(space(path))?;
    }
    Ok(())
}

#[cfg(unix)]
fn mode(path: &Path) -> Finding {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        Ok(file) if file.mode() & 0o077 == 0 => Finding::ok(
            "mode",
            format_args!("{:03o}: only its owner reads it", file.mode() & 0o777),
        ),
        Ok(file) => Finding::warn(
            "mode",
            format_args!(
                "{:03o}: other users may read results or change locks; if they should not, `chmod 600` the file",
                file.mode() & 0o777
            ),
        ),
        Err(error) => Finding::unknown("mode", error),
    }
}

#[cfg(unix)]
fn space(path: &Path) -> Finding {
    match rustix::fs::statvfs(path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let message = format!("{} MiB are free", free >> 20);
            match free < LITTLE_SPACE {
                true => Finding::warn(
                    "space",
                    format_args!("{message}: when the disk is full, locked calls fail; free some space"),
                ),
                false => Finding::ok("space", message),
            }
        }
        Err(error) => Finding::unknown("space", error),
    }
}
