//! The servers of a store, and commands of an operator.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::pool::Pool;
use crate::pool::request::named_error;
use crate::rt::clock::Instant;
use crate::rt::op::Op;
use crate::store;

pub use crate::store::Answer;

/// One server that keeps entries, from [`Pool::servers`]. The embedded store has none.
#[derive(Clone)]
pub struct Server {
    pool: Pool,
    server: Arc<dyn store::Server>,
}

impl Pool {
    /// The file of the embedded store. `None` for `sqlite::memory:` and for servers.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("locks.db");
    /// let pool = dspinlock::Pool::open(&format!("sqlite:{}", path.display()))?;
    /// assert_eq!(pool.file(), Some(path));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn file(&self) -> Option<PathBuf> {
        self.requests().file()
    }

    /// The servers that keep entries: one, or the masters of a cluster. Connects to a cluster if necessary.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// assert!(pool.servers().await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::RedisNotInitialized`] if no node of a cluster replies.
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub fn servers(&self) -> Op<Vec<Server>> {
        let pool = self.clone();
        Op::new(async move { Self::servers_of(pool.own()?).await })
    }

    async fn servers_of(pool: Self) -> Result<Vec<Server>, Error> {
        let servers = pool.requests().servers().await?.into_iter();
        let server = |server| Server {
            pool: pool.clone(),
            server,
        };
        Ok(servers.map(server).collect())
    }
}

impl Server {
    /// The host and port, the socket, or the sentinels that lead to the server; never a user name or a password.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Sends a command, on the connection that carries the steps of calls. A command that blocks its connection delays them. It must
    /// have one reply, and it must not change the connection, as `MULTI`, `SELECT`, `HELLO`, `SUBSCRIBE` and `CLIENT REPLY` do.
    ///
    /// ```no_run
    /// # use dspinlock_runtime as dspinlock;
    /// # async fn policy(pool: dspinlock::Pool) -> Result<(), dspinlock::Error> {
    /// for server in pool.servers().await? {
    ///     let policy = server.command(&["CONFIG", "GET", "maxmemory-policy"]).await?;
    ///     println!("{}: {policy:?}", server.address());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if there is no word, [`Error::RedisNotInitialized`] if the server cannot be reached, [`Error::Store`] if it refuses the command. A reply of
    /// more than 64 KiB closes the connection.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the server may or may not execute the command.
    pub fn command(&self, words: &[&str]) -> Op<Answer> {
        let (pool, server) = (self.pool.clone(), self.server.clone());
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Op::new(async move {
            pool.own()?;
            // A server does not reply to an empty command.
            let Some(name) = words.first() else {
                return Err(Error::option("an empty command: name one, such as `INFO`"));
            };
            let all: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = server.command(&all, Instant::now()).await;
            answer.map_err(|failure| named_error("command", name, failure))
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address()).finish()
    }
}
