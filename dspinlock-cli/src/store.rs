//! The store of a subcommand, and how a subcommand ends. `ls`, `show`, `rm` and `doctor` use it.

use std::future::Future;
use std::io;
use std::process::ExitCode;

use dspinlock::{Error, Pool};

use crate::exit::Exit;
use crate::messages::print;

/// 128 and SIGPIPE, as a shell reports a program that ends because nobody reads its output.
const BROKEN_PIPE: u8 = 128 + 13;

/// The option that names the store.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// The store, for example redis://host [default: the environment variable DSPINLOCK_URL, or a file of this user].
    ///
    /// Other users of this machine may see arguments, so a URL with a password belongs into DSPINLOCK_URL.
    #[arg(long)]
    url: Option<String>,
}

impl StoreArgs {
    /// Opens the store as a program does.
    pub(crate) async fn open(&self) -> Result<Pool, Error> {
        match &self.url {
            Some(url) => Pool::open(url),
            None => Pool::global().await,
        }
    }

    /// Opens the store once more, with separate connections. Pools with equal settings would share them.
    pub(crate) fn open_apart(&self) -> Result<Pool, Error> {
        Pool::builder(&self.url()).max_value_size(1 << 20).open()
    }

    /// Whether the URL names a cluster.
    pub(crate) fn names_cluster(&self) -> bool {
        let url = self.url().to_ascii_lowercase();
        url.starts_with("redis+cluster:") || url.starts_with("rediss+cluster:")
    }

    fn url(&self) -> String {
        match &self.url {
            Some(url) => url.clone(),
            None => std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| "sqlite:".into()),
        }
    }
}

/// Why a subcommand cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store failed.
    Store(Error),
    /// The output cannot be written, or the answer cannot be read.
    Io(io::Error),
    /// The arguments cannot be used.
    Usage(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the requests of a subcommand, and prints why they failed.
pub(crate) fn run(requests: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(requests),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(code) => code,
        Err(Failure::Store(error)) => {
            print(&error);
            Exit::of(&error).into()
        }
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => BROKEN_PIPE.into(),
        Err(Failure::Io(error)) => {
            print(error);
            Exit::Internal.into()
        }
        Err(Failure::Usage(reason)) => {
            print(reason);
            Exit::Usage.into()
        }
    }
}
