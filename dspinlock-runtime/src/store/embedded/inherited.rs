//! The open tables of this process, so that a forked child can close its copies. `file` and `worker` call it.
//!
//! SQLite has a list of open files in the memory of a process, with the locks that the process holds on them, and mutexes. A
//! forked child inherits that list, but no lock. If it opened a file of the list again, SQLite would take no lock for it, so
//! the child closes its copies first. That is possible only if no thread of the parent was inside SQLite at the `fork`:
//! otherwise a mutex may be held for ever, and the child must not call SQLite at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::OnceCell;

use super::open_error::OpenError;
use super::place::Names;
use crate::rt::process::PerProcess;

static TABLES: PerProcess<Tables> = PerProcess::new(|parent| Tables {
    parent,
    opening: Mutex::default(),
    open: Mutex::default(),
    is_usable: OnceCell::new(),
});

struct Tables {
    parent: Option<&'static Tables>,
    /// The names of the open files. Held while a file is opened.
    opening: Mutex<Names>,
    open: Mutex<Vec<Arc<dyn Close>>>,
    /// Whether SQLite may be called; set by the first use.
    is_usable: OnceCell<bool>,
}

trait Close: Send + Sync {
    /// `false` if SQLite works on it.
    fn close(&self) -> bool;
}

impl<T: Send> Close for Mutex<Option<T>> {
    fn close(&self) -> bool {
        self.try_lock().map(|mut table| drop(table.take())).is_ok()
    }
}

/// A table that is locked while SQLite works on it. Dropping this closes it.
pub(super) struct Open<T: Send + 'static>(Arc<Mutex<Option<T>>>);

/// Call this before a file is opened, and hold the result while it is.
///
/// # Errors
///
/// In a forked child, if a thread of the parent used a store at the moment of the `fork`.
pub(super) fn begin_opening() -> Result<MutexGuard<'static, Names>, OpenError> {
    let tables = TABLES.get();
    let opening = lock(&tables.opening);
    if *tables
        .is_usable
        .get_or_init(|| tables.parent.is_none_or(Tables::close_copies))
    {
        Ok(opening)
    } else {
        Err(OpenError::Forked)
    }
}

impl Tables {
    /// Closes the copies of the parent's tables in a forked child. `false` if SQLite cannot be used.
    fn close_copies(&self) -> bool {
        if self.is_usable.get() == Some(&false) || self.opening.try_lock().is_err() {
            return false;
        }
        let Ok(open) = self.open.try_lock() else {
            return false;
        };
        open.iter().all(|copy| copy.close())
    }
}

impl<T: Send> Open<T> {
    pub(super) fn new(table: T) -> Self {
        let shared = Arc::new(Mutex::new(Some(table)));
        lock(&TABLES.get().open).push(shared.clone());
        Self(shared)
    }

    /// Calls SQLite.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut T) -> R) -> R {
        action(lock(&self.0).as_mut().expect("only the drop closes it"))
    }
}

impl<T: Send> Drop for Open<T> {
    fn drop(&mut self) {
        drop(lock(&self.0).take());
        let is_other =
            |other: &Arc<dyn Close>| Arc::as_ptr(other).cast::<()>() != Arc::as_ptr(&self.0).cast();
        lock(&TABLES.get().open).retain(is_other);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
