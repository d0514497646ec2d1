//! Certificates for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// The certificate of a TLS server, and whether it verifies its clients.
#[derive(Debug, Clone, Copy)]
pub struct Tls {
    /// The host name in its certificate, in addition to 127.0.0.1.
    pub host: &'static str,
    /// Whether its certificate has expired.
    pub expired: bool,
    /// Whether it requires a client certificate by its own authority.
    pub mutual: bool,
}

/// A valid certificate for `localhost`; clients need none.
impl Default for Tls {
    fn default() -> Self {
        Self {
            host: "localhost",
            expired: false,
            mutual: false,
        }
    }
}

/// A certificate and its private key, in files.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The files of a TLS server and its clients.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The authority that signed the server's certificate.
    pub(crate) authority: PathBuf,
    pub(crate) server: Identity,
    /// Signed by `authority`.
    pub(crate) client: Identity,
    /// Signed by `other_authority`.
    pub(crate) untrusted_client: Identity,
    /// An authority that signed nothing of the server.
    pub(crate) other_authority: PathBuf,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Certificates {
    /// The options of the server: names and files.
    pub(crate) fn options(&self) -> [(&'static str, &Path); 3] {
        [
            ("tls-cert-file", &self.server.certificate),
            ("tls-key-file", &self.server.key),
            ("tls-ca-cert-file", &self.authority),
        ]
    }

    /// Creates all files in `folder`.
    pub(crate) fn create(folder: &Path, tls: Tls) -> Self {
        let (authority, other) = (authority("authority"), self::authority("other authority"));
        let mut params =
            CertificateParams::new(vec![tls.host.into(), "127.0.0.1".into()]).expect("valid host names");
        if tls.expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let client = || CertificateParams::new(Vec::new()).expect("an empty list of names is valid");
        Self {
            server: identity(folder, "server", params, &authority),
            client: identity(folder, "client", client(), &authority),
            untrusted_client: identity(folder, "untrusted", client(), &other),
            authority: file(folder, "authority.pem", &authority.pem()),
            other_authority: file(folder, "other.pem", &other.pem()),
        }
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("an empty list of names is valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key can be generated");
    CertifiedIssuer::self_signed(params, key).expect("an authority can be created")
}

fn identity(folder: &Path, name: &str, params: CertificateParams, authority: &Authority) -> Identity {
    let key = KeyPair::generate().expect("a key can be generated");
    let certificate = params
        .signed_by(&key, authority)
        .expect("a certificate can be signed");
    Identity {
        certificate: file(folder, &format!("{name}.pem"), &certificate.pem()),
        key: file(folder, &format!("{name}.key"), &key.serialize_pem()),
    }
}

fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("the test's folder is writable");
    path
}
