//! How client commands trust servers and say who they are.
//!
//! Must not know what is said to a server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use runtime::secret_file;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::Usage;
use crate::args::CLIENT_HEADING;

/// TLS of client commands.
#[derive(Clone, Debug, Args)]
pub struct Tls {
    /// The certificates that servers with https:// are checked against, PEM. Default: those of
    /// the system.
    #[arg(
        long,
        global = true,
        env = "GANDER_CA_FILE",
        value_name = "FILE",
        help_heading = CLIENT_HEADING
    )]
    pub ca_file: Option<PathBuf>,
    /// The certificate that this client shows, PEM, where the server wants one.
    #[arg(
        long,
        global = true,
        env = "GANDER_CLIENT_CERT",
        value_name = "FILE",
        help_heading = CLIENT_HEADING
    )]
    pub client_cert: Option<PathBuf>,
    /// Its key, PEM, mode 0600.
    #[arg(
        long,
        global = true,
        env = "GANDER_CLIENT_KEY",
        value_name = "FILE",
        help_heading = CLIENT_HEADING
    )]
    pub client_key: Option<PathBuf>,
}

/// A version of HTTP; with TLS the server must agree to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

const NO_ROOTS: &str = "the system has no certificates of those who sign: say --ca-file";

/// A certificate and its key as PEM.
struct Pair {
    certificate: Vec<u8>,
    key: String,
}

impl Tls {
    /// For gRPC.
    pub fn for_grpc(&self) -> anyhow::Result<ClientTlsConfig> {
        let config = match self.authorities()? {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(match self.pair()? {
            Some(pair) => config.identity(Identity::from_pem(pair.certificate, pair.key)),
            None => config,
        })
    }

    /// For HTTP, with TLS where the URL says https. Without it the system's certificates are not
    /// looked for: there may be none.
    pub fn for_http(
        &self,
        url: &str,
        version: Version,
    ) -> anyhow::Result<HttpsConnector<HttpConnector>> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match self.authorities()? {
            None if url.starts_with("https://") => builder.with_native_roots().context(NO_ROOTS)?,
            None => builder.with_tls_config(trusting(RootCertStore::empty())),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    roots.add(certificate?)?;
                }
                builder.with_tls_config(trusting(roots))
            }
        };
        let builder = builder.https_or_http();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        // The end of a request is not kept back until its begin is acknowledged.
        http.set_nodelay(true);
        Ok(match version {
            Version::Http1 => builder.enable_http1().wrap_connector(http),
            Version::Http2 => builder.enable_http2().wrap_connector(http),
        })
    }

    fn authorities(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(file) = &self.ca_file else { return Ok(None) };
        Ok(Some(certificates(file)?))
    }

    fn pair(&self) -> anyhow::Result<Option<Pair>> {
        match (&self.client_cert, &self.client_key) {
            (Some(certificate), Some(key)) => Ok(Some(Pair {
                certificate: certificates(certificate)?,
                key: secret_file::read(key)?,
            })),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                Err(Usage("--client-cert and --client-key belong together").into())
            }
        }
    }
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Reads a file that must have a certificate in it.
fn certificates(file: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = CertificateDer::pem_slice_iter(&pem).next();
    anyhow::ensure!(
        matches!(first, Some(Ok(_))),
        "there is no certificate in {}: it must begin with `-----BEGIN CERTIFICATE-----`",
        file.display()
    );
    Ok(pem)
}
