//! What is sent for each row of the tables in `docs/http-status.md`, and what is to be answered.
//!
//! Must not know how it is sent.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::admin::payload;
use e2e::hostile::bodies::gzip;

/// `{}`, as zlib writes it.
const DEFLATED: &[u8] = b"\x78\x9c\xab\xae\x05\x00\x01\x75\x00\xf9";

/// What tests a row.
pub enum Test {
    /// What is sent to a gateway with the default settings, and what is answered.
    Sent(Vec<Exchange>),
    /// A test of its own, in a file below the root.
    Named(&'static str, &'static str),
}

/// A request, and what is answered.
pub struct Exchange {
    pub request: Vec<u8>,
    pub status: u16,
    pub has: Vec<&'static str>,
    pub lacks: Vec<&'static str>,
}

impl Exchange {
    fn has(mut self, text: &'static str) -> Self {
        self.has.push(text);
        self
    }

    fn lacks(mut self, text: &'static str) -> Self {
        self.lacks.push(text);
        self
    }
}

fn sent(request: impl Into<Vec<u8>>, status: u16) -> Exchange {
    Exchange { request: request.into(), status, has: vec![], lacks: vec![] }
}

/// A request with a token and these header lines and this body.
pub fn post(token: &str, more: &str, body: &str) -> String {
    let head =
        format!("POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n{more}");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: g\r\n\r\n")
}

/// A HEAD, whose answer ends with the connection.
fn head(path: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
}

const HERE: &str = "tests/it/status_rows/mod.rs";

/// The tests by the beginnings of rows, after the name of their section.
pub fn tests(token: &str) -> Vec<(&'static str, Test)> {
    let mut all = taken(token);
    all.extend(refused(token));
    all.extend(refused_by_state());
    all.extend(others(token));
    all
}

#[expect(clippy::too_many_lines, reason = "one entry for each row")]
fn taken(token: &str) -> Vec<(&'static str, Test)> {
    let basic = BASE64_STANDARD.encode(format!("any:{token}"));
    let credential = |line: &str, query: &str| {
        let head = format!("POST /v1/process{query} HTTP/1.1\r\nHost: g\r\n{line}");
        sent(format!("{head}Content-Length: 2\r\n\r\n{{}}"), 202)
    };
    let firing = |key: &str| payload("firing", key);
    let known = "\"triggered\":{\"created\":";
    let accepted = "\"status\":\"accepted\"";
    vec![
        (
            "Paths and methods: `{prefix}/v1/process`",
            Test::Named(HERE, "a_prefix_is_for_alerts_and_the_description_only"),
        ),
        (
            "Paths and methods: `/livez`",
            Test::Sent(vec![
                sent(get("/livez"), 200),
                sent(head("/livez"), 200).lacks("ok\n"),
                sent(get("/livez/"), 404),
            ]),
        ),
        (
            "Paths and methods: `/readyz`",
            Test::Sent(vec![sent(get("/readyz"), 200), sent(head("/readyz"), 200).lacks("ok\n")]),
        ),
        (
            "Paths and methods: `/openapi.json`",
            Test::Sent(vec![
                sent(get("/openapi.json"), 200).has("\"openapi\":\"3.1.0\""),
                sent(head("/openapi.json"), 200).lacks("openapi\""),
            ]),
        ),
        (
            "The token: `Authorization: Bearer",
            Test::Sent(vec![credential(&format!("Authorization: Bearer {token}\r\n"), "")]),
        ),
        (
            "The token: `Authorization: Basic",
            Test::Sent(vec![credential(&format!("Authorization: Basic {basic}\r\n"), "")]),
        ),
        ("The token: `?token=", Test::Sent(vec![credential("", &format!("?token={token}"))])),
        (
            "Every answer that Gander itself makes: `cache-control`",
            Test::Sent(each_kind(token, "cache-control: no-store\r\n")),
        ),
        (
            "Every answer that Gander itself makes: `referrer-policy`",
            Test::Sent(each_kind(token, "referrer-policy: no-referrer\r\n")),
        ),
        (
            "Every answer that Gander itself makes: `content-type`",
            Test::Sent(vec![
                sent(post(token, "", "{}"), 202).has("content-type: application/json\r\n"),
                sent(get("/openapi.json"), 200).has("content-type: application/json\r\n"),
                sent(get("/x"), 404).has("content-type: application/problem+json\r\n"),
                sent(get("/livez"), 200).has("content-type: text/plain; charset=utf-8\r\n"),
            ]),
        ),
        (
            "Every answer that Gander itself makes: `content-length`, `date`",
            Test::Sent(
                each_kind(token, "content-length: ")
                    .into_iter()
                    .map(|one| one.has("date: "))
                    .collect(),
            ),
        ),
        (
            "Every answer that Gander itself makes: `connection`",
            Test::Sent(vec![
                sent(post(token, "", "{}"), 202).lacks("connection: close"),
                sent(post(token, "Connection: close\r\n", "{}"), 202).has("connection: close\r\n"),
            ]),
        ),
        (
            "A stored alert: 201",
            Test::Sent(vec![sent(post(token, "", &firing("a")), 201).has("\"created\":true")]),
        ),
        (
            "A stored alert: 200",
            Test::Sent(vec![
                sent(post(token, "", &firing("b")), 201),
                sent(post(token, "", &firing("b")), 200).has("\"duplicate\":true"),
                sent(post(token, "", &payload("resolved", "b")), 200).has("\"resolved\":true"),
                sent(post(token, "", &payload("resolved", "b")), 200).has("\"duplicate\":true"),
            ]),
        ),
        (
            "A stored alert: 202 | the outcome is known",
            Test::Sent(vec![sent(post(token, "", "{}"), 202).has(known)]),
        ),
        (
            "A stored alert: 202 | the outcome is not known",
            Test::Named(HERE, "without_a_worker_the_outcome_is_waited_for_and_not_known"),
        ),
        (
            "How long it waits: none",
            Test::Named(HERE, "without_a_worker_the_outcome_is_waited_for_and_not_known"),
        ),
        (
            "How long it waits: `Prefer: respond-async`",
            Test::Sent(vec![
                sent(post(token, "Prefer: respond-async\r\n", "{}"), 202)
                    .has("preference-applied: respond-async\r\n")
                    .has(accepted),
            ]),
        ),
        (
            "How long it waits: `Prefer: wait=0`",
            Test::Sent(vec![
                sent(post(token, "Prefer: wait=0\r\n", "{}"), 202)
                    .has(accepted)
                    .lacks("preference-applied"),
            ]),
        ),
        (
            "How long it waits: `Prefer: wait=N`",
            Test::Sent(vec![
                sent(post(token, "Prefer: wait=5\r\n", "{}"), 202)
                    .has(known)
                    .lacks("preference-applied"),
            ]),
        ),
    ]
}

/// An answer of each kind, with this text in it.
fn each_kind(token: &str, text: &'static str) -> Vec<Exchange> {
    [
        sent(post(token, "", "{}"), 202),
        sent(get("/livez"), 200),
        sent(get("/openapi.json"), 200),
        sent(get("/x"), 404),
        sent(post("x", "", "{}"), 401),
        sent(post(token, "Transfer-Encoding: chunked\r\n", "zz\r\n"), 400),
    ]
    .map(|one| one.has(text))
    .into()
}

#[expect(clippy::too_many_lines, reason = "one entry for each row")]
fn refused(token: &str) -> Vec<(&'static str, Test)> {
    let bare = |line: &str| {
        let head = "POST /v1/process HTTP/1.1\r\nHost: g\r\n";
        format!("{head}{line}Content-Length: 2\r\n\r\n{{}}")
    };
    let by_url = |query: &str| bare("").replace("/v1/process", &format!("/v1/process?{query}"));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let challenge = "www-authenticate: Bearer error=\"invalid_token\"\r\n";
    let chunked = |body: &str| {
        let head = format!("POST /v1/process HTTP/1.1\r\nHost: g\r\n{bearer}");
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}")
    };
    let encoded = |encoding: &str, body: &[u8]| {
        let head = format!("POST /v1/process HTTP/1.1\r\nHost: g\r\n{bearer}");
        let lines = format!("Content-Encoding: {encoding}\r\nContent-Length: {}", body.len());
        [format!("{head}{lines}\r\n\r\n").as_bytes(), body].concat()
    };
    let long = |bytes: usize| by_url(&format!("token=x&from={}", "x".repeat(bytes - 24)));
    let problem = |request: Vec<u8>, status, code| sent(request, status).has(code);
    let each = |requests: Vec<String>, status, code| {
        let one = |request: String| problem(request.into_bytes(), status, code);
        requests.into_iter().map(one).collect::<Vec<_>>()
    };
    let malformed =
        ["", "Bearer", "Bearer a b", "Bearer a,b", "Digest a", "Basic eA==", "Basic /w=="];
    let malformed = malformed.map(|value| bare(&format!("Authorization: {value}\r\n")));
    vec![
        (
            "Errors: 414",
            Test::Sent(vec![
                sent(long(8_192), 401),
                sent(long(8_193), 414).has("URI_TOO_LONG").has("connection: close\r\n"),
            ]),
        ),
        ("Errors: 404", Test::Sent(each(vec![get("/v1/process/"), get("/")], 404, "NOT_FOUND"))),
        (
            "Errors: 405 | `METHOD_NOT_ALLOWED` | another method on `/v1/process`",
            Test::Sent(vec![
                sent(get("/v1/process"), 405).has("METHOD_NOT_ALLOWED").has("allow: POST, PUT\r\n"),
            ]),
        ),
        (
            "Errors: 405 | `METHOD_NOT_ALLOWED` | another method on a probe",
            Test::Sent(
                ["/livez", "/readyz", "/openapi.json"]
                    .map(|path| {
                        let request = get(path).replace("GET", "PUT");
                        sent(request, 405).has("METHOD_NOT_ALLOWED").has("allow: GET, HEAD\r\n")
                    })
                    .into(),
            ),
        ),
        (
            "Errors: 400 | `INVALID_REQUEST` | two `Authorization`",
            Test::Sent(each(
                vec![
                    bare(&bearer.repeat(2)),
                    by_url(&format!("token={token}&token={token}")),
                    bare(&bearer).replace("/v1/process", "/v1/process?token=x"),
                ],
                400,
                "INVALID_REQUEST",
            )),
        ),
        (
            "Errors: 401 | `INVALID_TOKEN` | no token",
            Test::Sent(vec![
                sent(bare(""), 401).has("INVALID_TOKEN").has("www-authenticate: Bearer\r\n"),
            ]),
        ),
        (
            "Errors: 400 | `INVALID_REQUEST` | `Authorization` is neither",
            Test::Sent(each(malformed.into(), 400, "INVALID_REQUEST")),
        ),
        (
            "Errors: 401 | `INVALID_TOKEN` | the token has not the shape",
            Test::Sent(
                ["x".to_owned(), format!("{token}x"), token.replace("gdr_", "gdp_")]
                    .map(|bad| sent(post(&bad, "", "{}"), 401).has("INVALID_TOKEN").has(challenge))
                    .into_iter()
                    .chain([sent(by_url("token="), 401).has(challenge)])
                    .collect(),
            ),
        ),
        (
            "Errors: 401 | `INVALID_TOKEN` | the token is unknown",
            Test::Named(HERE, "tokens_of_the_right_shape_that_open_nothing_are_refused"),
        ),
        (
            "Errors: 417",
            Test::Sent(vec![
                sent(post(token, "Expect: coffee\r\n", "{}"), 417).has("EXPECTATION_FAILED"),
            ]),
        ),
        (
            "Errors: 415",
            Test::Sent(
                ["br", "gzip, gzip", "gzip\r\nContent-Encoding: gzip", "\u{e9}"]
                    .map(|encoding| {
                        sent(encoded(encoding, b"{}"), 415)
                            .has("UNSUPPORTED_ENCODING")
                            .has("accept-encoding: gzip, deflate\r\n")
                    })
                    .into_iter()
                    .chain(["", "identity"].map(|encoding| sent(encoded(encoding, b"{}"), 202)))
                    .chain(["gzip, chunked", "chunked, chunked"].map(|coding| {
                        let request = chunked("2\r\n{}\r\n0\r\n\r\n");
                        let request = request.replace(": chunked", &format!(": {coding}"));
                        sent(request, 415).has("UNSUPPORTED_ENCODING")
                    }))
                    .collect(),
            ),
        ),
        (
            "Errors: 413 | `BODY_TOO_LARGE` | `Content-Length`",
            Test::Sent(vec![
                sent(post(token, "", "").replace("Length: 0", "Length: 1048577"), 413)
                    .has("\"limit_bytes\":1048576")
                    .has("connection: close\r\n"),
                sent(chunked(&format!("100001\r\n{}\r\n", " ".repeat(0x10_0001))), 413)
                    .has("BODY_TOO_LARGE"),
            ]),
        ),
        (
            "Errors: 400 | `BODY_BROKEN`",
            Test::Sent(vec![
                sent(chunked("zz\r\n"), 400).has("BODY_BROKEN").has("connection: close\r\n"),
            ]),
        ),
        (
            "Errors: 400 | `ENCODING_BROKEN`",
            Test::Sent(vec![
                problem(encoded("gzip", b"{}"), 400, "ENCODING_BROKEN"),
                problem(encoded("deflate", b""), 400, "ENCODING_BROKEN"),
                problem(encoded("deflate", &[DEFLATED, b"x"].concat()), 400, "ENCODING_BROKEN"),
                problem(encoded("deflate", &DEFLATED.repeat(2)), 400, "ENCODING_BROKEN"),
                sent(encoded("deflate", DEFLATED), 202),
            ]),
        ),
        (
            "Errors: 413 | `BODY_TOO_LARGE` | the decoded",
            Test::Sent(vec![
                sent(encoded("gzip", &gzip(&vec![b' '; 1024 * 1024 + 1])), 413)
                    .has("BODY_TOO_LARGE")
                    .has("connection: close\r\n"),
                sent(encoded("gzip", &gzip(&vec![b' '; 1024 * 1024])), 202),
            ]),
        ),
    ]
}

fn refused_by_state() -> Vec<(&'static str, Test)> {
    let silent = "while_the_broker_is_silent_alerts_are_refused_and_the_gateway_is_not_ready";
    let here = |name| Test::Named(HERE, name);
    vec![
        ("Errors: 503 | `TOKENS_STALE`", here(silent)),
        ("Errors: 503 | `BROKER_UNAVAILABLE`", here(silent)),
        ("Errors: 429 | `RATE_LIMITED` | instead", here("who_asks_too_often_is_told_so")),
        ("Errors: 429 | `RATE_LIMITED` | the address", here("who_asks_too_often_is_told_so")),
        ("Errors: 429 | `RATE_LIMITED` | the token", here("who_asks_too_often_is_told_so")),
        ("Errors: 503 | `RATE_LIMITED`", here("who_asks_too_often_is_told_so")),
        (
            "Errors: 503 | `DRAINING` | the process stops",
            here("a_head_that_is_complete_after_the_stop_is_refused_and_idle_connections_end"),
        ),
        (
            "Errors: 503 | `DRAINING` | the process has stopped storing",
            Test::Named(
                "crates/gateway/src/http/process.rs",
                "what_is_not_stored_because_the_process_stops_is_told_as_draining",
            ),
        ),
        ("Errors: 408", here("who_is_slow_or_silent_is_cut_off")),
        ("Errors: 503 | `OVERLOADED`", here("bodies_that_take_all_memory_are_refused")),
        ("Errors: 503 | `STREAM_FULL`", here("a_full_stream_is_told")),
    ]
}

#[expect(clippy::too_many_lines, reason = "one entry for each row")]
fn others(token: &str) -> Vec<(&'static str, Test)> {
    let all = |requests: Vec<String>, status| {
        let one = |request: String| {
            sent(request, status)
                .has("content-length: 0\r\n")
                .has("connection: close\r\n")
                .lacks("cache-control")
                .lacks("referrer-policy")
        };
        Test::Sent(requests.into_iter().map(one).collect())
    };
    let with = |line: &str| post(token, line, "{}");
    let coding = |coding: &str| {
        with("").replace("Content-Length: 2", &format!("Transfer-Encoding: {coding}"))
    };
    let length = |length: &str| with("").replace("Length: 2", &format!("Length: {length}"));
    let headers: String = (0..62).map(|n| format!("x-{n}: 1\r\n")).collect();
    vec![
        (
            "Probes: `GET /livez` | 200",
            Test::Sent(vec![sent(get("/livez"), 200).has("\r\n\r\nok\n")]),
        ),
        (
            "Probes: `GET /livez`, a role",
            Test::Named(
                "crates/runtime/src/ops.rs",
                "a_role_that_does_not_beat_is_named_and_the_process_does_not_live",
            ),
        ),
        (
            "Probes: `GET /readyz`, all",
            Test::Sent(vec![sent(get("/readyz"), 200).has("\r\n\r\nok\n")]),
        ),
        (
            "Probes: `GET /readyz?verbose`",
            Test::Sent(vec![
                sent(get("/readyz?verbose"), 200).has("[+] broker ok\n").has("[+] tokens ok\n"),
            ]),
        ),
        (
            "Probes: `GET /readyz`, one",
            Test::Named(
                HERE,
                "while_the_broker_is_silent_alerts_are_refused_and_the_gateway_is_not_ready",
            ),
        ),
        (
            "Answered below Gander: 400 | the request line",
            all(vec!["garbage\r\n\r\n".to_owned(), get("/").replace("1.1", "1.2")], 400),
        ),
        (
            "Answered below Gander: 400 | a header",
            all(
                ["no colon\r\n", "x : 1\r\n", "x: 1\r\n 2\r\n", "x: \u{1}\r\n"].map(with).into(),
                400,
            ),
        ),
        (
            "Answered below Gander: 400 | `Content-Length`",
            all(vec![length("two"), length("2\r\nContent-Length: 3")], 400),
        ),
        (
            "Answered below Gander: 400 | `Transfer-Encoding`",
            all(vec![coding("gzip"), coding("chunked").replace("HTTP/1.1", "HTTP/1.0")], 400),
        ),
        ("Answered below Gander: 431 | more than 64", all(vec![with(&headers)], 431)),
        (
            "Answered below Gander: 431 | the request line",
            all(vec![with(&format!("x: {}\r\n", "x".repeat(64 * 1024)))], 431),
        ),
        (
            "Answered below Gander: 431 | `Content-Length`",
            all(vec![length("18446744073709551614"), length("18446744073709551615")], 431),
        ),
        (
            "Closed without an answer: the head",
            Test::Named(HERE, "who_is_slow_or_silent_is_cut_off"),
        ),
        (
            "Closed without an answer: an HTTP/1.1 connection",
            Test::Named(HERE, "who_is_slow_or_silent_is_cut_off"),
        ),
        (
            "Closed without an answer: `--max-connections`",
            Test::Named(HERE, "who_has_too_many_connections_is_not_served"),
        ),
        (
            "Closed without an answer: a TLS handshake",
            Test::Named("tests/it/tls.rs", "what_is_no_tls_1_2_is_refused_and_silence_is_cut_off"),
        ),
        (
            "Closed without an answer: an HTTP/2 connection",
            Test::Named(HERE, "http2_connections_that_are_idle_or_dead_end"),
        ),
        (
            "Closed without an answer: the process stops",
            Test::Named(
                HERE,
                "a_head_that_is_complete_after_the_stop_is_refused_and_idle_connections_end",
            ),
        ),
    ]
}
