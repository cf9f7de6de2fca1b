//! The description of this interface, OpenAPI 3.1, made from what answers: the table of problems,
//! the types of answers, the settings.
//!
//! Must not know what is not visible to a client.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use super::answer::{Accepted, Outcome};
use super::problem::{Details, Problem};
use super::{COMMON, process};
use crate::config::{Config, H2_HEADER_BYTES, MAX_HEAD_BYTES, MAX_HEADERS};

/// Where it is, with the prefix and without.
pub const PATH: &str = "/openapi.json";

/// The document for a gateway with these settings.
pub fn document(config: &Config) -> Value {
    let prefix = &config.path_prefix;
    let mut paths = json!({
        "/livez": probe("livez", "Does the process live?", livez()),
        "/readyz": readyz(),
    });
    paths[format!("{prefix}{}", process::PATH)] = json!({
        "post": process(config, "post"),
        "put": process(config, "put"),
    });
    paths[PATH] = described("openapi");
    if !prefix.is_empty() {
        paths[format!("{prefix}{PATH}")] = described("openapiBelowPrefix");
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gander gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Takes alerts of monitoring tools and tells what became of them. \
                            Another path is answered 404 with `NOT_FOUND`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                "Outcome": Outcome::schema(),
                "Accepted": Accepted::schema(),
                "Problem": Details::schema(),
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token, `gdr_` and 49 characters.",
                },
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as the password, for senders that take credentials \
                                    in a URL only; the user may be anything.",
                },
                "url": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "token",
                    "description": "The same token, for senders that cannot set a header. \
                                    A token may forbid it.",
                },
            },
        },
    })
}

fn process(config: &Config, method: &str) -> Value {
    let limit = config.body_max_bytes;
    let problems = Problem::each(limit).into_iter().filter(|problem| answers_process(*problem));
    let mut responses = problem_responses(problems);
    let mut stored = |status: StatusCode, description: &str, schema: Value| {
        let mut headers = common_headers();
        if status == StatusCode::ACCEPTED {
            headers["preference-applied"] = json!({
                "description": "With `Prefer: respond-async`.",
                "schema": {"const": "respond-async"},
            });
        }
        let content = json!({"application/json": {"schema": schema}});
        responses[status.as_str()] =
            json!({"description": description, "headers": headers, "content": content});
    };
    let outcome = json!({"$ref": "#/components/schemas/Outcome"});
    let accepted = json!({"$ref": "#/components/schemas/Accepted"});
    let either = json!({"oneOf": [outcome, accepted]});
    stored(StatusCode::CREATED, "Stored; at least one incident was created.", outcome.clone());
    let repeated = "Stored; an incident was resolved, or the call was a duplicate.";
    stored(StatusCode::OK, repeated, outcome);
    let nothing = "Stored; nothing of that happened, or what becomes of it is not known yet.";
    stored(StatusCode::ACCEPTED, nothing, either);
    json!({
        "operationId": format!("process_{method}"),
        "tags": ["alerts"],
        "summary": "Send an alert",
        "description": "A 2xx is sent only for an alert that is stored, within a second of the \
                        end of the body. POST and PUT do the same.",
        "parameters": process_parameters(),
        "requestBody": body(limit),
        "security": [{"bearer": []}, {"basic": []}, {"url": []}],
        "responses": responses,
    })
}

fn process_parameters() -> Value {
    json!([
        {
            "name": "from",
            "in": "query",
            "description": "The source, for titles; cut at 100 characters. Of several, the first \
                            that is not empty counts.",
            "schema": {"type": "string"},
            "example": "Alertmanager",
        },
        {
            "name": "Prefer",
            "in": "header",
            "description": "RFC 7240: `respond-async` does not wait for the outcome, `wait=N` \
                            waits at most N seconds. What cannot be read is passed over.",
            "schema": {"type": "string"},
            "example": "respond-async",
        },
        {
            "name": "Content-Encoding",
            "in": "header",
            "description": "How the body is encoded, without regard to case; one encoding at most.",
            "schema": {"enum": ["gzip", "x-gzip", "deflate", "identity"]},
        },
    ])
}

fn body(limit: u64) -> Value {
    let form = json!({
        "type": "object",
        "description": "JSON in `payload` or `data` is the payload; without, the whole text is.",
        "properties": {"payload": {"type": "string"}, "data": {"type": "string"}},
    });
    let example = json!({"status": "firing", "groupKey": "disk:db-1"});
    json!({
        "description": format!(
            "The payload, at most {limit} bytes, also after decoding. Any media type is taken, \
             also none; JSON is JSON whatever its type says. What is not text and not JSON counts \
             as empty, as an empty body does."
        ),
        "required": false,
        "content": {
            "application/json": {"schema": true, "example": example},
            "text/plain": {"schema": {"type": "string"}},
            "application/x-www-form-urlencoded": {"schema": form},
            "multipart/form-data": {"schema": form},
            "*/*": {},
        },
    })
}

/// Whether sending an alert may end so.
const fn answers_process(problem: Problem) -> bool {
    match problem {
        Problem::NotFound => false,
        Problem::InvalidRequest(_)
        | Problem::NoToken
        | Problem::InvalidToken
        | Problem::MethodNotAllowed(_)
        | Problem::BodyTimeout
        | Problem::BodyTooLarge(_)
        | Problem::BodyBroken
        | Problem::UriTooLong
        | Problem::UnsupportedEncoding
        | Problem::EncodingBroken
        | Problem::ExpectationFailed
        | Problem::Overloaded
        | Problem::BrokerUnavailable
        | Problem::StreamFull
        | Problem::TokensStale
        | Problem::RateLimited { .. }
        | Problem::Draining => true,
    }
}

/// Problems by their status, and what the HTTP library answers before Gander sees a request.
fn problem_responses(problems: impl IntoIterator<Item = Problem>) -> Value {
    let mut by_status: BTreeMap<StatusCode, Vec<Problem>> = BTreeMap::new();
    for problem in problems {
        by_status.entry(problem.row().0).or_default().push(problem);
    }
    let responses = by_status.into_iter().map(|(status, problems)| {
        (status.as_str().to_owned(), problem_response(status, &problems))
    });
    let mut responses: Map<_, _> = responses.collect();
    let too_large = format!(
        "More than {MAX_HEADERS} headers, or more than {MAX_HEAD_BYTES} bytes of them, over HTTP/2 \
         {H2_HEADER_BYTES}; no body."
    );
    responses.insert("431".to_owned(), json!({"description": too_large}));
    responses.into()
}

fn problem_response(status: StatusCode, problems: &[Problem]) -> Value {
    let rows: BTreeSet<_> = problems.iter().map(|p| (p.code(), p.row().2)).collect();
    let lines = rows.iter().map(|(code, detail)| format!("- `{code}`: {detail}\n"));
    let codes: BTreeSet<_> = rows.iter().map(|(code, _)| code).collect();
    let schema = json!({
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"status": {"const": status.as_u16()}, "code": {"enum": codes}},
    });
    json!({
        "description": lines.collect::<String>(),
        "headers": problem_headers(problems),
        "content": {"application/problem+json": {"schema": schema}},
    })
}

/// The headers of these problems, as their answers have them; required where all have it.
fn problem_headers(problems: &[Problem]) -> Value {
    let answers: Vec<HeaderMap> =
        problems.iter().map(|p| p.answer(None).headers().clone()).collect();
    let names = answers.iter().flat_map(HeaderMap::keys).map(HeaderName::as_str);
    // The media type is a member of its own; `connection` is about the connection.
    let passed_over = [header::CONTENT_TYPE, header::CONNECTION];
    let names: BTreeSet<_> = names.filter(|name| !passed_over.iter().any(|n| n == name)).collect();
    let mut headers = common_headers();
    for name in names {
        let values = answers.iter().flat_map(|answer| answer.get_all(name));
        let values: BTreeSet<_> = values.filter_map(|value| value.to_str().ok()).collect();
        let required = answers.iter().all(|answer| answer.contains_key(name));
        headers[name] = json!({"required": required, "schema": values_schema(&values)});
    }
    headers
}

/// Numbers are examples, texts are all that there are.
fn values_schema(values: &BTreeSet<&str>) -> Value {
    let numbers: Option<Vec<u64>> = values.iter().map(|value| value.parse().ok()).collect();
    match numbers {
        Some(numbers) => json!({"type": "integer", "minimum": 0, "examples": numbers}),
        None => json!({"type": "string", "enum": values}),
    }
}

fn common_headers() -> Value {
    let headers = COMMON.iter().map(|(name, value)| {
        (name.to_string(), json!({"required": true, "schema": {"const": value}}))
    });
    headers.collect::<Map<_, _>>().into()
}

fn text(description: &str) -> Value {
    json!({
        "description": description,
        "headers": common_headers(),
        "content": {"text/plain": {"schema": {"type": "string"}}},
    })
}

fn livez() -> Value {
    json!({"200": text("It does."), "503": text("A role stands still; it is named.")})
}

fn readyz() -> Value {
    let responses = json!({
        "200": text("It is ready; with `verbose` a line for each check."),
        "503": text("It is not ready; a line for each check."),
    });
    let mut item = probe("readyz", "Does it take alerts?", responses);
    item["parameters"] = json!([{
        "name": "verbose",
        "in": "query",
        "description": "Whatever its value: list the checks.",
        "allowEmptyValue": true,
        "schema": {"type": "string"},
    }]);
    item
}

fn described(id: &str) -> Value {
    let responses = json!({"200": {
        "description": "OpenAPI 3.1.",
        "headers": common_headers(),
        "content": {"application/json": {"schema": {"type": "object"}}},
    }});
    probe(id, "This document", responses)
}

/// GET and HEAD of something that anybody may read; HEAD is answered without the body.
fn probe(id: &str, summary: &str, mut responses: Value) -> Value {
    let problems = [Problem::UriTooLong, Problem::MethodNotAllowed("GET, HEAD")];
    if let (Value::Object(all), Value::Object(more)) = (&mut responses, problem_responses(problems))
    {
        all.extend(more);
    }
    let mut bare = responses.clone();
    for response in bare.as_object_mut().into_iter().flat_map(Map::values_mut) {
        response.as_object_mut().map(|response| response.remove("content"));
    }
    let operation = |method: &str, responses: Value| {
        json!({
            "operationId": format!("{id}_{method}"),
            "tags": ["operations"],
            "summary": summary,
            "security": [],
            "responses": responses,
        })
    };
    json!({"get": operation("get", responses), "head": operation("head", bare)})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use domain::id::AlertId;
    use domain::incident::Flags;
    use http::Response;
    use http_body_util::{BodyExt, Full};

    use wire::Traceparent;

    use super::*;
    use crate::http::answer;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        config: Config,
    }

    fn with(args: &[&str]) -> Value {
        let args = ["gateway"].iter().chain(args);
        document(&Arguments::try_parse_from(args).unwrap().config)
    }

    /// That an answer is one of those described for an operation.
    async fn check(document: &Value, path: &str, answer: Response<Full<bytes::Bytes>>) {
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let found = &document["paths"][path]["post"]["responses"][head.status.as_str()];
        let kind = head.headers[header::CONTENT_TYPE].to_str().unwrap();
        let schema = &found["content"][kind]["schema"];
        assert!(schema.is_object(), "{} {kind} is not described", head.status);
        let whole = json!({"components": document["components"], "allOf": [schema]});
        let body: Value = serde_json::from_slice(&body).unwrap();
        jsonschema::validate(&whole, &body).unwrap_or_else(|error| panic!("{body}: {error}"));
        let known = found["headers"].as_object().unwrap();
        for (name, value) in &head.headers {
            let known = known.get(name.as_str());
            let passed_over = [header::CONTENT_TYPE, header::CONNECTION].contains(name);
            assert!(known.is_some() || passed_over, "{} {name} is not described", head.status);
            let schema = known.map_or(&Value::Null, |known| &known["schema"]);
            let text = value.to_str().unwrap();
            let fits = schema["enum"].as_array().is_none_or(|all| all.contains(&text.into()));
            assert!(fits && (schema["type"] != "integer" || text.parse::<u64>().is_ok()), "{name}");
        }
    }

    #[tokio::test]
    async fn whatever_is_answered_to_an_alert_is_described() {
        let document = with(&["--path-prefix", "/gander", "--body-max-bytes", "2048"]);
        let path = "/gander/v1/process";
        let id = AlertId::from_bytes([7; 16]);
        for bits in 0..16 {
            let flags = Flags {
                created: bits & 1 != 0,
                trigger_duplicate: bits & 2 != 0,
                resolved: bits & 4 != 0,
                resolve_duplicate: bits & 8 != 0,
                ..Flags::default()
            };
            check(&document, path, answer::outcome(id, flags)).await;
        }
        let window = domain::id::MaintenanceId::from_bytes([8; 16]);
        let suppressed_by = [window].into_iter().collect();
        let flags = Flags { suppressed: true, suppressed_by, ..Flags::default() };
        check(&document, path, answer::outcome(id, flags)).await;
        check(&document, path, answer::accepted(id)).await;
        for problem in Problem::each(2_048).into_iter().filter(|p| answers_process(*p)) {
            for trace in [None, Traceparent::new([1; 16], [2; 8], true)] {
                check(&document, path, problem.answer(trace)).await;
            }
        }
    }

    #[test]
    fn the_settings_are_in_it() {
        let document = with(&["--path-prefix", "/gander", "--body-max-bytes", "2048"]);
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
        let expected =
            ["/gander/openapi.json", "/gander/v1/process", "/livez", "/openapi.json", "/readyz"];
        assert_eq!(paths, expected);
        let body = &document["paths"]["/gander/v1/process"]["post"]["requestBody"]["description"];
        assert!(body.as_str().unwrap().contains("at most 2048 bytes"), "{body}");
    }

    #[test]
    fn the_copy_in_docs_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let expected = format!("{:#}\n", with(&[]));
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            std::fs::write(&path, expected).unwrap();
            panic!("docs/openapi.json was stale; it has been written anew: read and commit it");
        }
    }
}
