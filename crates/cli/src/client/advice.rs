//! What to do where a server cannot be talked to.
//!
//! Must not know what was to be said to it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

const NOBODY: &str = "is it running? (`gander up`)";
const NO_FILES: &str =
    "this process may open no more files: raise its limit (ulimit -n), or use fewer connections";
/// What the kernel calls that: EMFILE.
const TOO_MANY_FILES: i32 = 24;

/// What to do where no connection could be made.
pub fn on_connecting(error: &(dyn Error + 'static)) -> &'static str {
    match tls_error(error) {
        Some(error) => on_tls(error),
        None if is_out_of_files(error) => NO_FILES,
        None => NOBODY,
    }
}

fn is_out_of_files(error: &(dyn Error + 'static)) -> bool {
    let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    code == Some(TOO_MANY_FILES) || error.source().is_some_and(is_out_of_files)
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
        false => "where the gateway has TLS, say https:// in --gateway",
    }
}

/// What the server said, in words of the command line: flags for fields, and nothing that only a
/// program can do.
pub fn in_our_words(said: &str) -> String {
    let said = said.replace(
        "ask again with the same request_id",
        "look whether it was done before you do it again",
    );
    let Some((field, rule)) = said.split_once(": ") else { return said };
    let fits =
        |(part, _): &&(&str, &str)| field.ends_with(part) || field.contains(&format!("{part}["));
    match FLAGS.iter().find(fits) {
        Some((_, flag)) if !field.contains(' ') => format!("{flag}: {rule}"),
        Some(_) | None => said,
    }
}

/// How fields of the contract are called on the command line: the last part of their path.
const FLAGS: [(&str, &str); 13] = [
    ("trigger.conditions", "--when"),
    (".title_from", "--title-from"),
    (".description_from", "--description-from"),
    (".map_with", "--map-with"),
    (".mapped_with", "--resolve-with"),
    (".resolve.condition.contains", "--resolve-when"),
    (".resolve.condition.key", "--resolve-when"),
    (".start_time", "--start"),
    (".end_time", "--for or --end"),
    ("maintenance_window.tags", "--tag"),
    ("expire_time", "--expires"),
    ("principal.roles", "--role"),
    (".display_name", "the name"),
];

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
        assert_eq!(on_connecting(&io::Error::from_raw_os_error(TOO_MANY_FILES)), NO_FILES);
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(on_connecting(&io::Error::other(unknown)).contains("--ca-file"));
    }

    #[test]
    fn rules_are_told_by_flag() {
        for (said, ours) in [
            ("service.filters[1].trigger.conditions[0].key: too long", "--when: too long"),
            ("service.filters[0].resolve.condition.key: too long", "--resolve-when: too long"),
            ("service.filters[0].display_name: too long", "the name: too long"),
            ("team.display_name: too long", "the name: too long"),
            ("token.expire_time: is past", "--expires: is past"),
            ("maintenance_window.tags[0].contains[0]: empty", "--tag: empty"),
            ("there is no team: say another", "there is no team: say another"),
            ("the name is taken: choose another one", "the name is taken: choose another one"),
            ("page_token: odd", "page_token: odd"),
        ] {
            assert_eq!(in_our_words(said), ours);
        }
        let pending = "stored: ask again with the same request_id";
        assert!(!in_our_words(pending).contains("request_id"));
    }

    #[test]
    fn an_answer_of_gander_gets_no_advice() {
        assert_eq!(on_calling(&Status::not_found("no team"), "https://a"), None);
        assert_eq!(on_calling(&Status::internal("a bug"), "http://a"), None);
        let foreign = Status::internal("protocol error: received message");
        assert!(on_calling(&foreign, "http://a").is_some());
    }
}
