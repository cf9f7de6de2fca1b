//! What a gateway answers, as far as it is counted.
//!
//! Must not know how it was asked.

use domain::id::AlertId;
use http::StatusCode;
use serde::Deserialize;

/// The longest code of an error that is shown as it is.
const MAX_CODE: usize = 40;

/// An alert that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub alert: AlertId,
    /// What became of it, where that is known.
    pub outcome: Option<Outcome>,
}

/// What became of an alert in any of the services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// An incident was created.
    pub created: bool,
    /// An incident was resolved.
    pub resolved: bool,
    /// It named an incident that was there, or resolved before.
    pub duplicate: bool,
    /// A maintenance window suppressed it.
    pub suppressed: bool,
}

/// How an alert failed, such as `503 OVERLOADED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(pub String);

#[derive(Deserialize)]
struct Body {
    id: Option<String>,
    code: Option<String>,
    triggered: Option<Triggered>,
    #[serde(default)]
    resolved: Resolved,
    #[serde(default)]
    suppressed: Vec<String>,
}

#[derive(Deserialize)]
struct Triggered {
    created: bool,
    duplicate: bool,
}

#[derive(Default, Deserialize)]
struct Resolved {
    resolved: bool,
    duplicate: bool,
}

/// Reads an answer.
pub fn read(status: StatusCode, body: &[u8]) -> Result<Accepted, Failed> {
    let body = serde_json::from_slice::<Body>(body).ok();
    if !status.is_success() {
        let code = body.and_then(|body| body.code).filter(|code| is_code(code));
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        return Err(Failed(format!("{}{code}", status.as_u16())));
    }
    let foreign = || Failed(format!("{} that is no answer of Gander", status.as_u16()));
    let body = body.ok_or_else(foreign)?;
    let alert = body.id.as_deref().and_then(|id| AlertId::parse(id).ok()).ok_or_else(foreign)?;
    let outcome = body.triggered.map(|triggered| Outcome {
        created: triggered.created,
        resolved: body.resolved.resolved,
        duplicate: triggered.duplicate || body.resolved.duplicate,
        suppressed: !body.suppressed.is_empty(),
    });
    Ok(Accepted { alert, outcome })
}

/// What lies between may answer too, with anything.
fn is_code(text: &str) -> bool {
    text.len() <= MAX_CODE && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20e18-6be7-7ae1-9eba-24fad35824c3";

    fn check(status: u16, body: &str, expected: Result<Option<Outcome>, &str>) {
        let found = read(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        if let Ok(accepted) = found {
            assert_eq!(accepted.alert.to_string(), ID);
        }
        let found = found.map(|accepted| accepted.outcome);
        assert_eq!(found, expected.map_err(|text| Failed(text.to_owned())), "{body}");
    }

    #[test]
    fn an_answer_tells_what_became_of_an_alert() {
        let outcome = |created, duplicate, resolved| {
            format!(
                r#"{{"id":"{ID}","triggered":{{"created":{created},"duplicate":{duplicate}}},"resolved":{{"resolved":{resolved},"duplicate":false}}}}"#
            )
        };
        let none = Outcome::default();
        check(201, &outcome(true, false, false), Ok(Some(Outcome { created: true, ..none })));
        check(200, &outcome(false, true, false), Ok(Some(Outcome { duplicate: true, ..none })));
        check(200, &outcome(false, false, true), Ok(Some(Outcome { resolved: true, ..none })));
        check(202, &outcome(false, false, false), Ok(Some(none)));
        let suppressed = outcome(false, false, false).replacen('{', r#"{"suppressed":["w"],"#, 1);
        check(202, &suppressed, Ok(Some(Outcome { suppressed: true, ..none })));
        check(202, &format!(r#"{{"id":"{ID}","status":"accepted"}}"#), Ok(None));
    }

    #[test]
    fn errors_are_told_apart_by_code() {
        check(503, r#"{"code":"OVERLOADED","status":503}"#, Err("503 OVERLOADED"));
        check(502, "<html>bad gateway</html>", Err("502"));
        check(500, r#"{"code":"\u001b[2J"}"#, Err("500"));
        check(200, "hello", Err("200 that is no answer of Gander"));
        check(200, r#"{"id":"1"}"#, Err("200 that is no answer of Gander"));
    }
}
