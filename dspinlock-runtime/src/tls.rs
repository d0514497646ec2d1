//! What a user says about TLS: plain data, whatever TLS stack is built in.

use std::fmt;

/// Whom a pool trusts over TLS, and what it shows of itself.
///
/// By default a server's certificate is verified, its host name included, against the authorities that the system
/// trusts, and no client certificate is shown. Certificates and keys are PEM texts.
///
/// ```no_run
/// # use dspinlock_runtime::{Pool, Tls};
/// let tls = Tls::new()
///     .authorities(std::fs::read("/etc/redis/ca.pem")?)
///     .client_certificate(std::fs::read("/etc/app/client.pem")?, std::fs::read("/etc/app/client.key")?);
/// let pool = Pool::open_tls("rediss://redis.example:6380", tls)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A URL may name the same files as in Python's redis package:
/// `rediss://host?ssl_ca_certs=PATH&ssl_certfile=PATH&ssl_keyfile=PATH`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) client: Option<Client>,
    pub(crate) any_server: bool,
}

/// A client certificate with those that lead to its authority, and its private key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Tls {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, and no longer those of the system.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Shows this certificate to a server that asks for one (mutual TLS): the chain, the client's own first, and its
    /// private key.
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some(Client {
            chain: chain.into(),
            key: key.into(),
        });
        self
    }

    /// Trusts whoever answers: **anybody between this process and the server can read and change everything**,
    /// passwords included. For tests on one's own machine; each pool that does it says so in the log.
    ///
    /// There is no such parameter of a URL.
    pub fn dangerously_accept_any_server(mut self) -> Self {
        self.any_server = true;
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("own_authorities", &self.authorities.is_some())
            .field("client_certificate", &self.client.is_some())
            .field("any_server", &self.any_server)
            .finish()
    }
}
