//! From PEM files to what a handshake needs.
//!
//! Must not know when they are read. Errors name files, never what is in them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::time::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those that signed it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The certificates of those who sign clients, PEM. Where it is given, a client must have a
    /// certificate that one of them has signed.
    pub client_ca: Option<PathBuf>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the two files is not given.
    #[error(
        "a certificate, its key and a client CA belong together: give both --{0}-tls-cert and --{0}-tls-key"
    )]
    Half(&'static str),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Everybody can read the key.
    #[error("everybody on this machine can read the key {path}: run `chmod o= {path}`")]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate in the file.
    #[error("there is no certificate in {path}: it must begin with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file.
    #[error(
        "there is no private key in {path}: it must be PEM, PKCS #8, PKCS #1 or SEC 1, without a password"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("the certificate in {certificate} cannot be used with the key in {key}: {reason}")]
    Pair {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificates of those who sign clients cannot be used.
    #[error("the client CA in {path} cannot be used: {reason}")]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate is not valid at this time.
    #[error("the certificate in {path} {state}: get a new one, or look at the clock")]
    NotValid {
        /// The file.
        path: PathBuf,
        /// That it has expired, or is not valid yet.
        state: &'static str,
    },
    /// The process ends.
    #[error("the process ends")]
    Stopping,
}

/// What is in the files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a handshake needs.
pub(super) struct Loaded {
    pub config: Arc<ServerConfig>,
    pub chain: Vec<CertificateDer<'static>>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Files {
    /// The files of the listener `http` or `grpc` as they are given; none where none is.
    ///
    /// # Errors
    /// Only some of those that belong together are given.
    pub fn given(
        listener: &'static str,
        certificate: Option<&Path>,
        key: Option<&Path>,
        client_ca: Option<&Path>,
    ) -> Result<Option<Self>, Error> {
        match (certificate, key, client_ca) {
            (Some(certificate), Some(key), client_ca) => Ok(Some(Self {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                client_ca: client_ca.map(Path::to_owned),
            })),
            (None, None, None) => Ok(None),
            (Some(_), None, _) | (None, Some(_), _) | (None, None, Some(_)) => {
                Err(Error::Half(listener))
            }
        }
    }

    pub(super) fn read(&self) -> Result<Contents, Error> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read_key(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    pub(super) fn parse(&self, contents: &Contents, protocols: &[&[u8]]) -> Result<Loaded, Error> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let pair = |reason: &dyn std::fmt::Display| Error::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            reason: reason.to_string(),
        };
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).map_err(|e| pair(&e))?;
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
        };
        let (not_before, not_after) =
            (at(leaf.validity().not_before), at(leaf.validity().not_after));
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| Error::NoKey { path: self.key.clone() })?;
        let builder = ServerConfig::builder();
        let builder = match self.client_verifier(contents)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain.clone(), key).map_err(|e| pair(&e))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Loaded { config: Arc::new(config), chain, not_before, not_after })
    }

    fn client_verifier(
        &self,
        contents: &Contents,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
        let (Some(path), Some(pem)) = (&self.client_ca, &contents.client_ca) else {
            return Ok(None);
        };
        let fail = |reason: String| Error::ClientCa { path: path.clone(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, pem)? {
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        Ok(Some(verifier.map_err(|error| fail(error.to_string()))?))
    }
}

impl Contents {
    /// Tells one content from another without keeping a key.
    pub(super) fn fingerprint(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let client_ca = self.client_ca.as_deref().unwrap_or_default();
        for part in [&self.certificate, &self.key, client_ca] {
            hasher.update(blake3::hash(part).as_bytes());
        }
        hasher.finalize()
    }
}

impl Loaded {
    pub(super) fn check_valid_at(&self, now: Timestamp, files: &Files) -> Result<(), Error> {
        let path = files.certificate.clone();
        if now > self.not_after {
            return Err(Error::NotValid { path, state: "has expired" });
        }
        if now < self.not_before {
            return Err(Error::NotValid { path, state: "is not valid yet" });
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The group may read a key: that is how a service that is not root is given one.
fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if metadata.mode() & 0o007 != 0 {
        return Err(Error::Readable { path: path.to_owned() });
    }
    read(path)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) | Err(_) => Err(Error::NoCertificate { path: path.to_owned() }),
    }
}
