//! Certificates for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// What a TLS server shows, and what it asks for.
#[derive(Debug, Clone, Copy)]
pub struct Tls {
    /// The host that its certificate is for, besides 127.0.0.1.
    pub host: &'static str,
    /// Its certificate is of the past.
    pub expired: bool,
    /// It asks for a client certificate by its own authority.
    pub mutual: bool,
}

/// A good certificate for `localhost`, and clients need none.
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

/// Files that a TLS server and its clients need.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// What a client must trust.
    pub(crate) authority: PathBuf,
    pub(crate) server: Identity,
    /// By the server's authority.
    pub(crate) client: Identity,
    /// By the stranger.
    pub(crate) foreign: Identity,
    /// An authority by which nothing of the server's is.
    pub(crate) stranger: PathBuf,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Certificates {
    /// What a server is told: its files, each option with its value.
    pub(crate) fn options(&self) -> [(&'static str, &Path); 3] {
        [
            ("tls-cert-file", &self.server.certificate),
            ("tls-key-file", &self.server.key),
            ("tls-ca-cert-file", &self.authority),
        ]
    }

    /// Makes them all.
    pub(crate) fn make(folder: &Path, tls: Tls) -> Self {
        let (authority, stranger) = (authority("authority"), self::authority("stranger"));
        let mut params = CertificateParams::new(vec![tls.host.into(), "127.0.0.1".into()])
            .expect("names that a certificate can bear");
        if tls.expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let client = || CertificateParams::new(Vec::new()).expect("no names are valid names");
        Self {
            server: identity(folder, "server", params, &authority),
            client: identity(folder, "client", client(), &authority),
            foreign: identity(folder, "foreign", client(), &stranger),
            authority: file(folder, "authority.pem", &authority.pem()),
            stranger: file(folder, "stranger.pem", &stranger.pem()),
        }
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key is made");
    CertifiedIssuer::self_signed(params, key).expect("an authority is made")
}

fn identity(folder: &Path, name: &str, params: CertificateParams, authority: &Authority) -> Identity {
    let key = KeyPair::generate().expect("a key is made");
    let certificate = params.signed_by(&key, authority).expect("a certificate is made");
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
