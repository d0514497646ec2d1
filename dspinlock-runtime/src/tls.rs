//! The TLS settings of a pool: plain data, without a TLS library.
//!
//! The user and the URL parser create them, and the Redis store builds a connector from them. This module reads no files.

use std::fmt;

/// TLS settings: which servers a pool trusts, and which certificate it presents.
///
/// By default the server's certificate and host name are verified against the system's authorities, and no client
/// certificate is presented. Certificates and keys are PEM texts.
///
/// ```no_run
/// # use dspinlock_runtime::{Pool, Tls};
/// let tls = Tls::new()
///     .authorities(std::fs::read("/etc/redis/ca.pem")?)
///     .client_certificate(std::fs::read("/etc/app/client.pem")?, std::fs::read("/etc/app/client.key")?);
/// let pool = Pool::builder("rediss://redis.example:6380").tls(tls).open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A URL can name the same files, as in Python's redis package:
/// `rediss://host?ssl_ca_certs=PATH&ssl_certfile=PATH&ssl_keyfile=PATH`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) client: Option<ClientCertificate>,
    pub(crate) any_server: bool,
}

/// A client certificate with its chain, and its private key. Both are PEM texts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Tls {
    /// Creates the default settings.
    ///
    /// ```
    /// # use dspinlock_runtime::Tls;
    /// assert_eq!(Tls::new(), Tls::default());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities instead of the system's.
    ///
    /// ```no_run
    /// # use dspinlock_runtime::Tls;
    /// let tls = Tls::new().authorities(std::fs::read("/etc/redis/ca.pem")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Presents this certificate to a server that requests one (mutual TLS).
    ///
    /// The chain starts with the client's certificate. The key is the private key of that certificate.
    ///
    /// ```no_run
    /// # use dspinlock_runtime::Tls;
    /// let chain = std::fs::read("/etc/app/client.pem")?;
    /// let key = std::fs::read("/etc/app/client.key")?;
    /// let tls = Tls::new().client_certificate(chain, key);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some(ClientCertificate {
            chain: chain.into(),
            key: key.into(),
        });
        self
    }

    /// Accepts any server certificate. **An attacker on the network can then read and change everything**, passwords
    /// included.
    ///
    /// Use it only in tests on your machine. Each pool with this setting logs a warning. A URL cannot set it.
    ///
    /// ```
    /// # use dspinlock_runtime::Tls;
    /// let tls = Tls::new().dangerously_accept_any_server();
    /// ```
    #[must_use]
    pub fn dangerously_accept_any_server(mut self) -> Self {
        self.any_server = true;
        self
    }
}

// Never shows a certificate or a key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.is_some())
            .field("client_certificate", &self.client.is_some())
            .field("any_server", &self.any_server)
            .finish()
    }
}
