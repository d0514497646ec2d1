//! Refuses a path on which SQLite would block, or which it would corrupt. `file` calls it before SQLite opens the file.
//!
//! SQLite keeps its log and its shared memory beside the file, under the file's name. Processes that know one file by two names
//! have two logs, and each overwrites the changes of the other. So a file has one name: it is no mount point, and all processes open
//! it by one of its hard links.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::open_error::OpenError;

/// The device and inode of the file at a path. Unknown on systems other than Unix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileId(Option<(u64, u64)>);

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
    }

    /// Other systems do not delete or replace an open file.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Self {
        Self(None)
    }
}

/// The name by which a file is open.
pub(super) struct Name {
    id: FileId,
    path: PathBuf,
}

/// The names of the open files of this process.
#[derive(Default)]
pub(super) struct Names(Vec<Weak<Name>>);

impl Names {
    /// The name of an open file, which counts as open until it is dropped.
    pub(super) fn add(&mut self, path: &Path) -> io::Result<Arc<Name>> {
        let name = Arc::new(Name {
            id: FileId::of(path),
            path: fs::canonicalize(path)?,
        });
        self.0.retain(|open| open.strong_count() > 0);
        self.0.push(Arc::downgrade(&name));
        Ok(name)
    }

    /// Whether the file at a path is open.
    #[cfg(target_os = "linux")]
    fn has(&self, path: &Path) -> bool {
        let id = FileId::of(path);
        self.0.iter().filter_map(Weak::upgrade).any(|open| open.id == id)
    }

    /// The other name by which the file at a path is open.
    #[cfg(unix)]
    fn other(&self, path: &Path) -> Option<Arc<Name>> {
        let id = FileId::of(path);
        let mut open = self.0.iter().filter_map(Weak::upgrade);
        open.find(|open| open.id == id && open.path != path)
    }
}

/// Checks the path before anything opens it. A missing file is good.
pub(super) fn check(path: &Path, names: &Names) -> Result<(), OpenError> {
    let Ok(entry) = fs::symlink_metadata(path) else {
        let is_file = |folder: &&Path| fs::metadata(folder).is_ok_and(|folder| !folder.is_dir());
        return match path.ancestors().skip(1).find(is_file) {
            Some(file) => Err(OpenError::NoFolder(file.into())),
            None => Ok(()),
        };
    };
    // Opening a FIFO would block, and opening a device may do anything.
    let file = fs::metadata(path)?;
    if file.is_dir() {
        return Err(OpenError::Folder);
    }
    if !file.is_file() {
        return Err(OpenError::NotAFile);
    }
    // SQLite would make a database of the file. A link may lead to a file of another purpose.
    if entry.is_symlink() && file.len() == 0 {
        return Err(OpenError::EmptyTarget);
    }
    #[cfg(unix)]
    check_names(path, &file, names)?;
    #[cfg(not(unix))]
    let _ = names;
    Ok(())
}

#[cfg(unix)]
fn check_names(path: &Path, file: &fs::Metadata, names: &Names) -> Result<(), OpenError> {
    use std::os::unix::fs::MetadataExt;

    // SQLite follows links too, and keeps the log beside their target.
    let real = &*fs::canonicalize(path)?;
    if is_mount_point(real, file)? {
        return Err(OpenError::MountPoint);
    }
    let shown = path.display();
    // A folder that is mounted twice gives a file a second path too, but its log has the same one.
    if file.nlink() > 1 {
        if let Some(open) = names.other(real) {
            return Err(OpenError::OtherName(open.path.clone()));
        }
        #[cfg(target_os = "linux")]
        if is_open_by_another_name(real, names)? {
            return Err(OpenError::OtherProcess);
        }
        tracing::warn!(
            target: "dspinlock",
            "the file of the embedded store `{shown}` has {} names (hard links): remove the others, because processes that open it by different names damage it",
            file.nlink()
        );
    }
    if user().is_some_and(|user| user != file.uid()) {
        tracing::info!(
            target: "dspinlock",
            "the file of the embedded store `{shown}` belongs to another user (id {})",
            file.uid()
        );
    }
    Ok(())
}

/// Whether another process has the file open by another of its names. SQLite keeps a lock on an open file, which belongs to all its
/// names, and a log beside the name.
#[cfg(target_os = "linux")]
fn is_open_by_another_name(path: &Path, names: &Names) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, fcntl_lock};
    use rustix::io::Errno;

    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Closing a descriptor of the file would release the locks of this process.
    if Path::new(&log).exists() || names.has(path) {
        return Ok(false);
    }
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let locked = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(matches!(locked, Err(Errno::AGAIN | Errno::ACCESS)))
}

/// Whether something is mounted on the path itself.
#[cfg(unix)]
fn is_mount_point(path: &Path, file: &fs::Metadata) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    // A file on overlayfs may have another device than its folder, although nothing is mounted on it.
    if let Some(is_root) = is_mount_root(path) {
        return Ok(is_root);
    }
    let Some(parent) = path.parent() else {
        return Ok(true);
    };
    Ok(fs::metadata(parent)?.dev() != file.dev())
}

/// What the system says of a path. Linux 5.8 and later know it; other systems return `None`.
#[cfg(target_os = "linux")]
fn is_mount_root(path: &Path) -> Option<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).ok()?;
    let is_known = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_known.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_mount_root(_: &Path) -> Option<bool> {
    None
}

/// The user of this process, if the system tells.
#[cfg(target_os = "linux")]
fn user() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(all(unix, not(target_os = "linux")))]
fn user() -> Option<u32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_known_by_itself() {
        let is_mount_point = |path: &str| {
            let path = Path::new(path);
            is_mount_point(path, &fs::metadata(path).expect("the path exists")).expect("the folder exists")
        };
        assert!(is_mount_point("/proc") && is_mount_point("/"));
        assert_eq!(
            is_mount_root(Path::new("/proc")),
            Some(true),
            "without the numbers of the devices"
        );
        assert!(!is_mount_point("/proc/self/status") && !is_mount_point(env!("CARGO_MANIFEST_DIR")));
    }

    #[test]
    fn a_file_with_another_device_than_its_folder_is_no_mount_point() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("locks.sqlite");
        fs::write(&path, "").expect("the file is written");
        // Overlayfs with layers on several file systems returns such metadata.
        let of_other_device = fs::metadata("/proc/self/status").expect("procfs is mounted");
        assert!(!is_mount_point(&path, &of_other_device).expect("the folder exists"));
    }
}
