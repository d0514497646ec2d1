//! TLS with rustls and the `ring` provider.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore};

use self::any_server::AnyServer;
use crate::error::Error;
use crate::tls::Tls;

/// A pool's side of every handshake. Made once: sessions are resumed, and no file is read when a connection is.
#[derive(Clone)]
pub(super) struct Client(TlsConnector);

impl Client {
    /// # Errors
    ///
    /// [`Error::Configuration`] where a certificate or a key is none.
    pub(super) fn new(tls: &Tls) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| flaw("the TLS provider", &error))?;
        let builder = if tls.any_server {
            log::warn!(target: "dspinlock", "TLS without verification: anybody may be the server");
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
                    .map_err(|error| flaw("the client's private key", &pem_flaw(&error)))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| flaw("the client certificate with its key", &error))?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with `host`.
    pub(super) async fn wrap(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "no name that a certificate could bear".to_owned())?;
        self.0
            .connect(name, stream)
            .await
            .map_err(|error| reason(&error).unwrap_or_else(|| error.to_string()))
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(pem) => {
            for authority in certificates("the authorities", pem)? {
                roots
                    .add(authority)
                    .map_err(|error| flaw("the authorities", &error))?;
            }
        }
        // A single unreadable authority of the system is no reason to trust none.
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
        Ok(_) => Err(flaw(what, "there is no certificate in the PEM text")),
        Err(error) => Err(flaw(what, &pem_flaw(&error))),
    }
}

fn flaw(what: &str, why: &(impl ToString + ?Sized)) -> Error {
    Error::Configuration(format!("{what} cannot be used: {}", why.to_string()))
}

/// Not the library's own words: they quote lines of the text, and so of a key.
fn pem_flaw(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "there is none in the PEM text",
        pem::Error::Base64Decode(_) => "its PEM text is damaged",
        _ => "it is no PEM text",
    }
}

/// What was wrong with a handshake, or with a connection that ended right after one: with TLS 1.3 a server looks at
/// the client's certificate when the client believes to be done. `None` where it was not TLS.
pub(super) fn reason(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut error = Some(error);
    while let Some(outer) = error {
        if let Some(error) = outer.downcast_ref::<rustls::Error>() {
            return Some(explain(error));
        }
        error = if let Some(error) = outer.downcast_ref::<io::Error>() {
            error.get_ref().map(|inner| inner as _)
        } else if let Some(error) = outer.downcast_ref::<Shared>() {
            // Its own source is the one behind the error that it shares.
            Some(&**error as _)
        } else {
            outer.source()
        };
    }
    None
}

/// How the redis crate keeps what it has not made itself.
type Shared = Arc<dyn StdError + Send + Sync>;

fn explain(error: &rustls::Error) -> String {
    use CertificateError as Flaw;
    let certificate = match error {
        rustls::Error::InvalidCertificate(flaw) => match flaw {
            Flaw::NotValidForName | Flaw::NotValidForNameContext { .. } => "is for another host",
            Flaw::Expired | Flaw::ExpiredContext { .. } => "has expired",
            Flaw::NotValidYet | Flaw::NotValidYetContext { .. } => "is not valid yet",
            Flaw::UnknownIssuer => "is by an authority that is not trusted",
            Flaw::Revoked => "was revoked",
            _ => "is not valid",
        },
        rustls::Error::AlertReceived(alert) => return alerted(*alert),
        rustls::Error::InvalidMessage(_) => return "it does not speak TLS".into(),
        other => return other.to_string(),
    };
    format!("the server's certificate {certificate}")
}

fn alerted(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => "the server asks for a client certificate".into(),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => format!("the server refuses the client certificate ({alert:?})"),
        other => format!("the server ended the handshake ({other:?})"),
    }
}

/// No verification, for those who asked for none.
mod any_server {
    use super::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use super::rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
    use super::rustls::pki_types::UnixTime;
    use super::rustls::{self, DigitallySignedStruct, SignatureScheme};
    use super::{Arc, CertificateDer, CryptoProvider, ServerName};

    type Signed = Result<HandshakeSignatureValid, rustls::Error>;

    #[derive(Debug)]
    pub(super) struct AnyServer(pub(super) Arc<CryptoProvider>);

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
