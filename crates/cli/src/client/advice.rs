//! What to do where a server cannot be talked to.
//!
//! Must not know what was to be said to it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

const NOBODY: &str = "is it running? (`gander up`)";

/// What to do where no connection could be made.
pub fn on_connecting(error: &(dyn Error + 'static)) -> &'static str {
    tls_error(error).map_or(NOBODY, on_tls)
}

/// What to do where a gRPC call had no answer of Gander's; none where it had one.
pub fn on_calling(status: &Status, server: &str) -> Option<&'static str> {
    if is_unanswered(status) {
        return Some(match server.starts_with("https://") {
            true => {
                "where the server wants a certificate of this client, say --client-cert and --client-key"
            }
            false => {
                "is --server the port of admin, not of a gateway or nats-server? And where the server has TLS, say https:// in --server"
            }
        });
    }
    let bare = status.message().starts_with("protocol error")
        || status.message().starts_with("grpc-status header missing");
    let foreign = (status.code() == Code::Internal && bare) || status.code() == Code::Unimplemented;
    foreign.then_some("is --server the port of gRPC, not the one of alerts, and of this version?")
}

/// What to do where an alert had no answer.
pub fn on_sending(error: &hyper_util::client::legacy::Error, url: &str) -> &'static str {
    match url.starts_with("https://") {
        _ if error.is_connect() => on_connecting(error),
        true => "is --gateway the port of alerts, not the one of gRPC?",
        false => "where the gateway has TLS, say https:// in --url",
    }
}

/// Whether the connection broke before there was an answer.
pub fn is_unanswered(status: &Status) -> bool {
    status.source().is_some_and(|source| source.is::<tonic::transport::Error>())
        || status.source().is_some_and(|source| tls_error(source).is_some())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may add errors")]
fn on_tls(error: &rustls::Error) -> &'static str {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "nobody who is trusted here has signed its certificate: say --ca-file"
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name: use one that is in it",
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired, or the clock of this machine is wrong",
        Tls::InvalidMessage(_) => "there is no TLS at that port: say another port, or http://",
        Tls::AlertReceived(AlertDescription::NoApplicationProtocol)
        | Tls::NoApplicationProtocol => {
            "it is the port of something else: gRPC and alerts have each their own"
        }
        Tls::AlertReceived(_) => {
            "it refuses: where it wants a certificate of this client, say --client-cert and --client-key"
        }
        _ => "the handshake of TLS fails",
    }
}

/// The error of TLS that is behind this one.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // The source of an io::Error is that of the error in it, not the error itself.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match inner {
        Some(inner) => tls_error(inner),
        None => error.source().and_then(tls_error),
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;

    #[test]
    fn the_error_of_tls_is_found_behind_others() {
        let tls = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let wrapped = io::Error::other(io::Error::other(tls));
        assert!(on_connecting(&wrapped).contains("no TLS at that port"));
        assert_eq!(on_connecting(&io::Error::from(io::ErrorKind::ConnectionRefused)), NOBODY);
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(on_connecting(&io::Error::other(unknown)).contains("--ca-file"));
    }

    #[test]
    fn an_answer_of_gander_gets_no_advice() {
        assert_eq!(on_calling(&Status::not_found("no team"), "https://a"), None);
        assert_eq!(on_calling(&Status::internal("a bug"), "http://a"), None);
        let foreign = Status::internal("protocol error: received message");
        assert!(on_calling(&foreign, "http://a").is_some());
    }
}
