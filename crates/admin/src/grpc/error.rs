//! Statuses that tell a program what went wrong: `ErrorInfo` always, `BadRequest` for input.
//!
//! Must not know methods.

use domain::aggregate::Rejection;
use domain::id::InstanceId;
use runtime::places::Full;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::store;

const DOMAIN: &str = "gander";

fn status(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(code, message, details)
}

/// No credential, or one that opens nothing.
pub fn unauthenticated() -> Status {
    let message = "the credential is missing, unknown, replaced or expired: send a valid one as metadata `authorization: Bearer gdp_…`";
    status(Code::Unauthenticated, "INVALID_CREDENTIAL", message)
}

/// The caller may not do that.
pub fn denied() -> Status {
    status(Code::PermissionDenied, "PERMISSION_DENIED", "this principal may not do that")
}

/// There is nothing with this resource name.
pub fn not_found(name: &str) -> Status {
    status(Code::NotFound, "NOT_FOUND", &absence(name))
}

/// That there is nothing with this resource name, in words that name its kind.
fn absence(name: &str) -> String {
    let mut parts = name.rsplit('/');
    let (id, collection) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kind = match collection {
        "teams" => "team",
        "services" => "service",
        "maintenances" => "maintenance window",
        "tokens" => "token",
        "principals" => "principal",
        "incidents" => "incident",
        "auditRecords" => return format!("there is no audit record {id}"),
        "apiLogEntries" => return format!("there is no entry {id} in the API log"),
        "parkedRecords" => return format!("there is no parked record {id}"),
        _ => return "it does not exist".to_owned(),
    };
    format!("there is no such {kind}: {name}")
}

/// A field breaks a rule.
pub fn field(field: impl Into<String>, rule: impl ToString) -> Status {
    let violation = FieldViolation::new(field, rule.to_string());
    let message = format!("{}: {}", violation.field, violation.description);
    let mut details = ErrorDetails::with_bad_request(vec![violation]);
    details.set_error_info("INVALID_FIELD", DOMAIN, []);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Stored, but not known to be in force on every gateway: not on these, as far as they are known.
pub fn propagation_pending(gateways: &[InstanceId]) -> Status {
    let message =
        "stored, but not every gateway is known to act on it: ask again with the same request_id";
    let named: Vec<_> = gateways.iter().map(InstanceId::to_string).collect();
    let metadata = [("gateways".to_owned(), named.join(","))];
    let details = ErrorDetails::with_error_info("PROPAGATION_PENDING", DOMAIN, metadata);
    let named = if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) };
    Status::with_error_details(Code::Unavailable, format!("{message}{named}"), details)
}

/// Stored, but not known to be carried out.
pub fn outcome_pending() -> Status {
    let message = "stored; no worker has confirmed it yet: ask again";
    status(Code::Unavailable, "OUTCOME_PENDING", message)
}

/// Reading took too long.
pub fn read_timeout(message: &str) -> Status {
    status(Code::Unavailable, "READ_TIMEOUT", message)
}

/// The broker does not answer.
pub fn unavailable(message: &str) -> Status {
    status(Code::Unavailable, "BROKER_UNAVAILABLE", message)
}

/// As many watches as there may be are open.
pub fn too_many_watches(full: Full) -> Status {
    let message = match full {
        Full::All => "too many watches are open: try again later, or read the events from NATS",
        Full::Own => {
            "this principal has too many watches open: close some, or read the events from NATS"
        }
    };
    status(Code::ResourceExhausted, "TOO_MANY_WATCHES", message)
}

/// The caller takes no more messages.
pub fn watch_not_read() -> Status {
    let message = "the watch was ended since nobody read it: go on after the last cursor";
    status(Code::Unavailable, "WATCH_NOT_READ", message)
}

/// As many exports and checks as there may be are going on.
pub fn too_many_audits() -> Status {
    let message = "too many exports and checks of the audit log are going on: try again later";
    status(Code::ResourceExhausted, "TOO_MANY_AUDITS", message)
}

/// As many tails of the API log as there may be are open.
pub fn too_many_tails(full: Full) -> Status {
    let message = match full {
        Full::All => "too many tails of the API log are open: try again later",
        Full::Own => "this principal has too many tails of the API log open: close some",
    };
    status(Code::ResourceExhausted, "TOO_MANY_WATCHES", message)
}

/// As many exports of the API log as there may be are going on.
pub fn too_many_exports() -> Status {
    let message = "too many exports of the API log are going on: try again later";
    status(Code::ResourceExhausted, "TOO_MANY_EXPORTS", message)
}

/// Something that was stored cannot be read.
pub fn internal(message: &str) -> Status {
    status(Code::Internal, "UNREADABLE", message)
}

/// The incident is closed, so it cannot be acknowledged.
pub fn incident_resolved() -> Status {
    let message = "the incident is resolved: only an open one can be acknowledged";
    status(Code::FailedPrecondition, "INCIDENT_RESOLVED", message)
}

/// This build cannot read what is parked.
pub fn parked_record_unreadable() -> Status {
    let message = "this version cannot read what is in the record: evaluate it with a newer one, or delete it";
    status(Code::FailedPrecondition, "PARKED_RECORD_UNREADABLE", message)
}

/// The service in which the evaluation failed is gone.
pub fn parked_service_deleted() -> Status {
    let message = "the service in which its evaluation failed is deleted: delete the record, too";
    status(Code::FailedPrecondition, "SERVICE_DELETED", message)
}

/// A cursor whose events are gone.
pub fn cursor_too_old() -> Status {
    status(
        Code::OutOfRange,
        "CURSOR_TOO_OLD",
        "events after this cursor are gone: start without one",
    )
}

/// Why a command about what has this resource name was not carried out.
pub fn command(error: store::Error, name: &str) -> Status {
    match error {
        store::Error::Rejected(rejection) => rejected(rejection, name),
        store::Error::RequestReused => request_reused(),
        store::Error::Unavailable => unavailable(
            "nats-server or a gateway does not answer, so it is not known to be carried out: ask again with the same request_id",
        ),
    }
}

/// The request id was used for something else.
pub fn request_reused() -> Status {
    field("request_id", store::Error::RequestReused)
}

fn rejected(rejection: Rejection, name: &str) -> Status {
    let text = rejection.to_string();
    match rejection {
        Rejection::NotFound => not_found(name),
        Rejection::ParentNotFound => status(Code::NotFound, "PARENT_NOT_FOUND", &text),
        Rejection::RoleTeamNotFound => status(Code::NotFound, "PARENT_NOT_FOUND", &text),
        Rejection::Changed => status(Code::Aborted, "ETAG_MISMATCH", &text),
        Rejection::NameTaken => status(Code::AlreadyExists, "NAME_TAKEN", &text),
        Rejection::LastGlobalAdmin => status(Code::FailedPrecondition, "LAST_GLOBAL_ADMIN", &text),
        Rejection::Expired => status(Code::FailedPrecondition, "EXPIRED", &text),
        Rejection::ExpiryInThePast => field("expire_time", text),
        Rejection::StartInThePast => field("maintenance_window.start_time", text),
        Rejection::EndNotAfterStart | Rejection::WindowTooLong => {
            field("maintenance_window.end_time", text)
        }
        Rejection::TooManyWindows => field("maintenance_window", text),
        Rejection::FirstMustBeGlobalAdmin => {
            status(Code::FailedPrecondition, "FIRST_MUST_BE_GLOBAL_ADMIN", &text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_named_with_its_kind() {
        for (name, says) in [
            ("teams/t", "there is no such team: teams/t"),
            ("teams/t/services/s", "there is no such service: teams/t/services/s"),
            ("tokens/1", "there is no such token: tokens/1"),
            ("auditRecords/99", "there is no audit record 99"),
            ("", "it does not exist"),
        ] {
            assert_eq!(not_found(name).message(), says);
        }
    }
}
