//! Lists, describes and deletes entries by their names in the store.

use std::collections::VecDeque;

use futures_util::future::join_all;

use crate::engine::entry;
use crate::error::Error;
use crate::key::Key;
use crate::options::Options;
use crate::pool::Pool;
use crate::protocol::status::Status;
use crate::rt::op::Op;

/// How many entries are described at once. Each is a script of some microseconds, and a server executes those of one read in
/// a row.
const AT_ONCE: usize = 32;

/// One entry of a store, from [`Keys::next`] or [`Pool::key_info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The name in the store, as `redis-cli` takes it and messages show it.
    pub name: String,
    /// The state. The site and the label are in its holder.
    pub status: Status,
    /// The fence of the last grant. `None` if the entry is free, or another program wrote it.
    pub fence: Option<u64>,
}

/// The entries of a store, in parts, from [`Pool::keys`].
///
/// A part is about 200 names, so a server that does other work is never blocked for longer than a fraction of a millisecond. An
/// entry that exists during the whole scan is listed; one that is created, deleted or moved to another server meanwhile may
/// be missing or listed twice.
#[derive(Debug)]
pub struct Keys {
    pool: Pool,
    prefix: String,
    /// `None` at the end.
    cursor: Option<String>,
    /// Names that are not described yet.
    names: VecDeque<String>,
}

impl Pool {
    /// Lists the entries with the default `prefix`, `dspinlock`.
    ///
    /// On Redis this needs the permission `+scan`, which programs do not need otherwise.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// Entry::of::<u64>("price").part(&7_u64).pool(&pool).prime(&21).await?;
    /// let mut keys = pool.keys();
    /// let mut names = Vec::new();
    /// while let Some(part) = keys.next().await? {
    ///     names.extend(part.into_iter().map(|key| key.name));
    /// }
    /// assert_eq!(names.len(), 1);
    /// assert!(pool.delete_key(&names[0]).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn keys(&self) -> Keys {
        Keys {
            pool: self.clone(),
            prefix: format!("{},", Options::DEFAULT.prefix),
            cursor: Some(String::new()),
            names: VecDeque::new(),
        }
    }

    /// The entry with this name in the store. A name without a digest is that of a custom key.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if no key has such a name; the errors of a read.
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub fn key_info(&self, name: &str) -> Op<KeyInfo> {
        let (pool, key) = (self.clone(), named(name));
        Op::new(async move { describe(pool.own()?, key?).await })
    }

    /// Deletes whatever has this name in the store, also an entry of another program. Returns whether there was one. A holder
    /// loses its lease.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if no key has such a name; the errors of a write.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the entry may or may not be deleted.
    pub fn delete_key(&self, name: &str) -> Op<bool> {
        let (pool, key) = (self.clone(), named(name));
        Op::new(async move { entry::delete_named(&pool.own()?, &key?).await })
    }
}

fn named(name: &str) -> Result<Key, Error> {
    match Key::from_name(name) {
        Some(key) => Ok(key),
        None => Key::custom(name).map_err(|error| Error::option(error.to_string())),
    }
}

async fn describe(pool: Pool, key: Key) -> Result<KeyInfo, Error> {
    let (status, fence) = entry::describe_named(&pool, &key).await?;
    Ok(KeyInfo {
        name: key.name(),
        status,
        fence,
    })
}

impl Keys {
    /// Lists the entries with this `prefix` instead. `""` lists those of every prefix.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = match prefix {
            "" => String::new(),
            prefix => format!("{prefix},"),
        };
        self
    }

    /// The next entries; an empty part does not mean the end. `None` at the end.
    ///
    /// Names that are no keys of this crate are left out, and so are entries that have expired or been deleted in the meantime.
    /// An entry that another program has written under the name of a key is [`Status::Foreign`].
    ///
    /// # Errors
    ///
    /// The errors of a read. The next call repeats the part.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the next call repeats the part.
    pub async fn next(&mut self) -> Result<Option<Vec<KeyInfo>>, Error> {
        let pool = self.pool.clone().own()?;
        if self.names.is_empty() {
            let Some(cursor) = &self.cursor else {
                return Ok(None);
            };
            let (pool, prefix, cursor) = (pool.clone(), self.prefix.clone(), cursor.clone());
            let part = Op::new(async move { pool.requests().names(&prefix, &cursor).await }).await?;
            self.names.extend(part.names);
            self.cursor = part.rest;
        }
        let at_once = self.names.len().min(AT_ONCE);
        let keys = self
            .names
            .iter()
            .take(at_once)
            .filter_map(|name| Key::from_name(name));
        let described = join_all(keys.map(|key| describe(pool.clone(), key))).await;
        let mut described: Vec<KeyInfo> = described.into_iter().collect::<Result<_, _>>()?;
        described.retain(|info| info.status != Status::Free);
        self.names.drain(..at_once);
        Ok(Some(described))
    }
}
