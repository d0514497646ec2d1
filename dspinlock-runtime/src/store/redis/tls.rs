//! TLS with rustls and the `ring` provider. `url` builds the configuration when a pool is opened, and `connection` does the
//! handshakes. No message quotes a certificate or a key.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore};

use self::any_server::AnyServer;
use crate::error::Error;
use crate::store::redis::redact::redact;
use crate::store::redis::socket::SingleBuffer;
use crate::tls::Tls;

/// The client side of every handshake of a pool. It is built once, so that sessions are resumed and a new connection
/// reads no file.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl Connector {
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if a certificate or a key cannot be used.
    pub(crate) fn new(tls: &Tls) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("the TLS provider", &error))?;
        let builder = if tls.any_server {
            tracing::warn!(target: "dspinlock", "TLS without verification: any server is accepted, and can read every password and value; \
                 use it in tests only");
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        } else {
            builder.with_root_certificates(roots(tls)?)
        };
        let config = match &tls.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = certificates("the client certificate", &client.chain)?;
                let key = PrivateKeyDer::from_pem_slice(&client.key)
                    .map_err(|error| unusable("the client's private key", &pem_reason(&error)))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unusable("the client certificate with its key", &error))?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Performs the handshake with `host`.
    pub(crate) async fn wrap(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<SingleBuffer>, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "the host name cannot be in a certificate: check it".to_owned())?;
        self.0
            .connect(name, SingleBuffer(stream))
            .await
            .map_err(|error| reason(&error).unwrap_or_else(|| redact(&error.to_string())))
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(pem) => {
            for authority in certificates("the authorities", pem)? {
                roots
                    .add(authority)
                    .map_err(|error| unusable("the authorities", &error))?;
            }
        }
        // An unreadable authority of the system is skipped.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable(what, "its PEM text contains no certificate")),
        Err(error) => Err(unusable(what, &pem_reason(&error))),
    }
}

fn unusable(what: &str, why: &(impl ToString + ?Sized)) -> Error {
    Error::option(format!("cannot use {what}: {}", why.to_string()))
}

/// The messages of the PEM library are not shown, because they quote lines of the text, which may be a private key.
fn pem_reason(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "its PEM text contains none",
        pem::Error::Base64Decode(_) => "its PEM text is damaged",
        _ => "it is not PEM text",
    }
}

/// The cause of a failed handshake; `None` if the error is not about TLS. With TLS 1.3 a server verifies the client's
/// certificate after the client has finished, so the cause may arrive as an error of the connection.
pub(crate) fn reason(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut error = Some(error);
    while let Some(outer) = error {
        if let Some(error) = outer.downcast_ref::<rustls::Error>() {
            return Some(handshake_failure(error));
        }
        error = if let Some(error) = outer.downcast_ref::<io::Error>() {
            error.get_ref().map(|inner| inner as _)
        } else if let Some(error) = outer.downcast_ref::<SharedError>() {
            // Its `source` skips the shared error itself.
            Some(&**error as _)
        } else {
            outer.source()
        };
    }
    None
}

/// The type in which the redis crate wraps errors of other crates.
type SharedError = Arc<dyn StdError + Send + Sync>;

fn handshake_failure(error: &rustls::Error) -> String {
    use CertificateError as Cause;
    let certificate = match error {
        rustls::Error::InvalidCertificate(cause) => match cause {
            Cause::NotValidForName | Cause::NotValidForNameContext { .. } => {
                "is for another host: check the host name in the URL"
            }
            Cause::Expired | Cause::ExpiredContext { .. } => "has expired: renew it",
            Cause::NotValidYet | Cause::NotValidYetContext { .. } => {
                "is not valid yet: check the clock of this machine"
            }
            Cause::UnknownIssuer => {
                "was issued by an authority that is not trusted: add the authority with `Tls::authorities` or `ssl_ca_certs`"
            }
            Cause::Revoked => "was revoked: replace it",
            _ => "is not valid: replace it",
        },
        rustls::Error::AlertReceived(alert) => return alerted(*alert),
        rustls::Error::InvalidMessage(_) => {
            return "the server does not use TLS on this port: use `redis://`, or the TLS port".into();
        }
        other => return format!("TLS failed: {}", redact(&other.to_string())),
    };
    format!("the server's certificate {certificate}")
}

fn alerted(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => "the server requires a client certificate: add it with `Tls::client_certificate` or `ssl_certfile`".into(),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => format!("the server refused the client certificate (`{alert:?}`): check it and its authority"),
        other => format!("the server aborted the TLS handshake (`{other:?}`): check its TLS settings"),
    }
}

/// The verifier of [`Tls::dangerously_accept_any_server`]: it accepts every certificate.
mod any_server {
    use std::sync::Arc;

    use tokio_rustls::rustls::client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    };
    use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{self, DigitallySignedStruct, SignatureScheme};

    type Signed = Result<HandshakeSignatureValid, rustls::Error>;

    #[derive(Debug)]
    pub(crate) struct AnyServer(pub(crate) Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyServer {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Signed {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Signed {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
