//! Bad requests, made by rule: each case follows from its seed alone.
//!
//! A case is a request that is right but for what its kind is about; some are then spoilt byte by
//! byte. Must not know what is answered, only which statuses would be right where that is sure.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::bodies::{self, Bombs};
use crate::dice::Dice;

/// What is sent over one connection.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub kind: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The statuses of which the first answer must have one; empty: any that the page describes.
    pub expected: &'static [u16],
    /// Whether an answer must come: the request is whole, and can be read before it is refused.
    pub answered: bool,
    /// Whether the first answer is to a HEAD.
    pub bodiless: bool,
    /// Whether it is HTTP/2, which is answered in frames.
    pub frames: bool,
}

/// Bytes, and the statuses that are right.
type Made = (Vec<u8>, &'static [u16]);
type Make = fn(&Grammar, &mut Dice) -> Made;

/// What an HTTP/2 connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `POST http:/v1/process` with the static table alone.
pub const POST: &[u8] = b"\x83\x86\x04\x0b/v1/process";

const TAKEN: &[u16] = &[200, 201, 202];
const ANY: &[u16] = &[];
const BELOW: &[u16] = &[400, 431];

/// What makes cases.
#[derive(Debug)]
pub struct Grammar {
    /// The seed of the run.
    pub seed: u64,
    /// A token that is let in.
    pub token: String,
    /// Bodies that take long to make.
    pub bombs: Bombs,
}

impl Grammar {
    /// The case of this number.
    #[must_use]
    pub fn case(&self, number: u64) -> Case {
        let mut dice = Dice::of_case(self.seed, number);
        let (kind, make) = KINDS[dice.below(KINDS.len())];
        let (mut bytes, mut expected) = make(self, &mut dice);
        let frames = kind == "frames";
        let mut answered = !expected.is_empty();
        let mut kind = kind;
        if dice.once_in(6) && !frames {
            kind = "spoilt";
            (expected, answered) = (ANY, false);
            for _ in 0..=dice.below(4) {
                spoil(&mut dice, &mut bytes);
            }
        }
        // Empty lines before a request are passed over (RFC 9112, section 2.2).
        let begins = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or_default();
        let bodiless = bytes[begins..].starts_with(b"HEAD ");
        Case { kind, bytes, expected, answered, bodiless, frames }
    }

    /// A request for alerts, with a token; `more` are header lines.
    fn post(&self, more: &str, body: &[u8]) -> Vec<u8> {
        let token = &self.token;
        let head = format!(
            "POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        );
        [head.as_bytes(), body].concat()
    }

    fn with_length(&self, more: &str, body: &[u8]) -> Vec<u8> {
        self.post(&format!("{more}Content-Length: {}\r\n", body.len()), body)
    }
}

const KINDS: [(&str, Make); 16] = [
    ("request line", request_line),
    ("path", path),
    ("header", header),
    ("many headers", many_headers),
    ("length", length),
    ("transfer coding", transfer_coding),
    ("smuggling", smuggling),
    ("chunks", chunks),
    ("credential", credential),
    ("query", query),
    ("encoding", encoding),
    ("JSON", json),
    ("content type", content_type),
    ("odd headers", odd_headers),
    ("pipeline", pipeline),
    ("frames", frames),
];

fn spoil(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    // The head is short, a body may be long: both are met.
    let near = if dice.once_in(3) { bytes.len() } else { bytes.len().min(300) };
    let at = dice.below(near);
    match dice.below(6) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.number().to_le_bytes()[0],
        2 => {
            let odd =
                dice.one(&["\r", "\n", "\0", " ", "\t", ":", "\r\n\r\n", "\u{fffd}", "%", "0"]);
            bytes.splice(at..at, odd.bytes());
        }
        3 => {
            let end = (at + 1 + dice.below(20)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => bytes.truncate(at),
        _ => {
            let end = (at + 1 + dice.below(60)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

const TARGETS: &[&str] = &[
    "/v1/process",
    "*",
    "http://g/v1/process",
    "https://u:p@g:99999/v1/process",
    "g:443",
    "",
    "/v1/process#part",
    "//",
    "\\v1\\process",
    "/v1/process HTTP/1.1",
    "/%",
    "/\u{e9}",
    "/\0",
    "http://[::1/v1/process",
    "/v1/process?\u{1F600}",
    "/v1/process?a=<>\"{}|^`",
];

fn request_line(grammar: &Grammar, dice: &mut Dice) -> Made {
    let method = dice.one(&[
        "POST",
        "post",
        "GET",
        "PATCH",
        "TRACE",
        "CONNECT",
        "OPTIONS",
        "PRI",
        "M-SEARCH",
        "P\0ST",
        "POST\t",
        "",
        " POST",
        "DELETE",
        "{}",
        "POST POST",
        "Ω",
    ]);
    let target = dice.one(TARGETS);
    let version = dice.one(&[
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/1.2",
        "HTTP/1.",
        "http/1.1",
        "HTTP/1.1 ",
        "HTTP/11",
        "HTTP/1.1\r",
        "",
        "ICY",
        "HTTP/3",
        "HTTP/1.1\0",
    ]);
    let space = dice.one(&[" ", " ", " ", "  ", "\t", "\u{b}", "\u{a0}"]);
    let end = dice.one(&["\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r\n"]);
    let before = dice.one(&["", "", "", "\r\n", "\n\n", "\r\n\r\n\r\n", " ", "\0", "\u{feff}"]);
    let mut request = format!("{before}{method}{space}{target}{space}{version}{end}Host: g{end}");
    if dice.once_in(2) {
        let _ = write!(request, "Authorization: Bearer {}{end}", grammar.token);
    }
    let _ = write!(request, "Content-Length: 2{end}{end}{{}}");
    (request.into_bytes(), ANY)
}

fn path(grammar: &Grammar, dice: &mut Dice) -> Made {
    let long = [1, 100, 8_192, 8_193, 20_000, 40_000, 70_000][dice.below(7)];
    let long = Dice::filled(dice.one(&["a", "/", "../", "%2e%2e/", "%00", "%ff", ";", "=&"]), long);
    let (target, expected): (String, &[u16]) = match dice.below(8) {
        0 => (format!("/{long}"), ANY),
        1 => (format!("/v1/process?from={long}"), ANY),
        2 => (format!("/v1/process?{long}"), ANY),
        3 => (
            dice.one(&["/livez", "/readyz", "/readyz?verbose", "/openapi.json"]).to_owned(),
            &[405],
        ),
        4 => (dice.one(&["/livez/", "/metrics", "/v1", "/v1/process/", "/"]).to_owned(), &[404]),
        5 => (
            dice.one(&["//v1/process", "/v1/./process", "/V1/PROCESS", "/v1%2fprocess"]).to_owned(),
            &[404],
        ),
        6 => {
            (dice.one(&["/v1/../v1/process", "/v1/process;a", "/v1/process%00"]).to_owned(), &[404])
        }
        _ => (dice.one(&["/v1/process?", "/v1/process?&", "/v1/process?%"]).to_owned(), TAKEN),
    };
    let request = String::from_utf8_lossy(&grammar.with_length("", b"{}")).into_owned();
    (request.replacen("/v1/process", &target, 1).into_bytes(), expected)
}

fn header(grammar: &Grammar, dice: &mut Dice) -> Made {
    let (line, expected): (&str, &[u16]) = match dice.below(3) {
        0 => {
            let bad = [
                "no colon\r\n",
                "X : space\r\n",
                " X: space before\r\n",
                "X: a\r\n folded\r\n",
                ": no name\r\n",
                "X\0: a\r\n",
                "X: a\0b\r\n",
                "X: a\u{7f}b\r\n",
                "X: a\rb\r\n",
                "X(): a\r\n",
                "X\u{e9}: a\r\n",
                "\tX: a\r\n",
                "X: \u{1b}[31m\r\n",
                "\"X\": a\r\n",
            ];
            (dice.one(&bad), BELOW)
        }
        1 => {
            let odd = [
                "X:\r\n",
                "X: \t \r\n",
                "X: \u{e9}\u{1F600}\r\n",
                "X:a\r\n",
                "x: a\nY: b\r\n",
                "Host: other\r\n",
                "Host:\r\n",
                "Connection: close, keep-alive\r\n",
                "Connection: X, Authorization\r\n",
                "Upgrade: h2c\r\nConnection: Upgrade\r\n",
            ];
            (dice.one(&odd), TAKEN)
        }
        _ => {
            let bad = ["Host: a\r\n\r\n\r\n", "X: \n\n", "\n", "X: a\r\n\0", "\u{feff}X: a\r\n"];
            (dice.one(&bad), ANY)
        }
    };
    (grammar.with_length(line, b"{}"), expected)
}

fn many_headers(grammar: &Grammar, dice: &mut Dice) -> Made {
    let count = [1, 60, 61, 62, 100, 1_000, 5_000][dice.below(7)];
    let length = [0, 1, 100, 1_000, 30_000, 70_000][dice.below(6)];
    let name = dice.one(&["x", "X-Forwarded-For", "Cookie", "Prefer", "Accept-Encoding"]);
    let value = Dice::filled(dice.one(&["a", ",", "\u{e9}", "10.0.0.1,"]), length / count);
    let lines: String = (0..count)
        .map(|n| match dice.below(2) {
            0 => format!("{name}: {value}\r\n"),
            _ => format!("{name}-{n}: {value}\r\n"),
        })
        .collect();
    // Host, Authorization and Content-Length are three of the 64.
    let expected = if count > 61 {
        BELOW
    } else if lines.len() < 20_000 {
        TAKEN
    } else {
        ANY
    };
    (grammar.with_length(&lines, b"{}"), expected)
}

fn length(grammar: &Grammar, dice: &mut Dice) -> Made {
    let (value, expected): (&str, &[u16]) = match dice.below(4) {
        0 => (
            dice.one(&[
                "-2",
                "+2",
                "2,2",
                "2, 3",
                "0x2",
                "2 2",
                "two",
                "2.0",
                "\u{b2}",
                "2;",
                "1e1",
                "'2'",
                "99999999999999999999999999",
                "18446744073709551616",
                "2\t3",
                "",
            ]),
            &[400],
        ),
        1 => (dice.one(&["18446744073709551615", "18446744073709551614"]), &[431]),
        2 => (dice.one(&["1048577", "9223372036854775807", "18446744073709551613"]), &[413]),
        _ => (
            dice.one(&["2", "02", "0000000000000000000000000000002", "2\r\nContent-Length: 2"]),
            TAKEN,
        ),
    };
    let line = format!("Content-Length: {value}\r\n");
    let line = if dice.once_in(8) { format!("{line}Content-Length: 3\r\n") } else { line };
    let expected = if line.contains(": 3") { ANY } else { expected };
    (grammar.post(&line, b"{}"), expected)
}

const CODINGS: &[&str] = &[
    "chunked",
    "Chunked",
    "chunked, chunked",
    "identity",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "xchunked",
    "chunkedx",
    "\"chunked\"",
    "chunked;q=1",
    " chunked",
    "\tchunked",
    "chunked\t",
    ",chunked",
    "chunked,",
    "",
    "\u{b}chunked",
    "identity, chunked",
    "chunked\0",
    "cow",
    "trailers",
];

fn transfer_coding(grammar: &Grammar, dice: &mut Dice) -> Made {
    let first = dice.one(CODINGS);
    let name = dice.one(&[
        "Transfer-Encoding",
        "transfer-encoding",
        "Transfer_Encoding",
        "Transfer-Encoding ",
    ]);
    let mut lines = format!("{name}: {first}\r\n");
    if dice.once_in(3) {
        let _ = write!(lines, "Transfer-Encoding: {}\r\n", dice.one(CODINGS));
    }
    if dice.once_in(3) {
        lines.push_str("Content-Length: 5\r\n");
    }
    let mut bytes = grammar.post(&lines, b"2\r\n{}\r\n0\r\n\r\n");
    if dice.once_in(6) {
        let at = bytes.windows(3).position(|part| part == b"1.1").unwrap_or_default();
        bytes[at + 2] = b'0';
    }
    (bytes, ANY)
}

fn smuggling(grammar: &Grammar, dice: &mut Dice) -> Made {
    let inner = "GET /livez HTTP/1.1\r\nHost: g\r\n\r\n";
    let coding = dice.one(CODINGS);
    let coding = format!("Transfer-Encoding: {coding}\r\n");
    let inside = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let (lines, body) = match dice.below(5) {
        // The length says less than the chunks.
        0 => (format!("Content-Length: 4\r\n{coding}"), inside),
        1 => (format!("{coding}Content-Length: 4\r\n"), inside),
        // The length says more.
        2 => (format!("Content-Length: 500\r\n{coding}"), format!("0\r\n\r\n{inner}")),
        // A request behind the end of the body.
        3 => ("Content-Length: 2\r\n".to_owned(), format!("{{}}{inner}")),
        _ => (
            format!("Content-Length: 2\r\nContent-Length: {}\r\n", 2 + inner.len()),
            format!("{{}}{inner}"),
        ),
    };
    (grammar.post(&lines, body.as_bytes()), ANY)
}

fn chunks(grammar: &Grammar, dice: &mut Dice) -> Made {
    let big = Dice::filled("x", [10, 100, 5_000, 40_000][dice.below(4)]);
    let (body, expected): (String, &[u16]) = match dice.below(4) {
        0 => (
            dice.one(&[
                "zz\r\n{}\r\n0\r\n\r\n",
                "-1\r\n",
                "0x2\r\n{}\r\n0\r\n\r\n",
                "2 2\r\n{}\r\n0\r\n\r\n",
                "fffffffffffffffff\r\n",
                "\r\n{}\r\n",
                "2\r\n{}0\r\n\r\n",
                "2\r\n{}}}}}",
                "+2\r\n{}\r\n0\r\n\r\n",
                "2\0\r\n{}\r\n0\r\n\r\n",
                "\u{b2}\r\n",
            ])
            .to_owned(),
            &[400],
        ),
        1 => (format!("2;{big}\r\n{{}}\r\n0\r\n\r\n"), ANY),
        2 => {
            let trailers: String =
                (0..dice.below(200)).map(|n| format!("Content-Length: {n}\r\n")).collect();
            (format!("2\r\n{{}}\r\n0\r\n{trailers}X: {big}\r\n\r\n"), ANY)
        }
        _ => {
            let zeros = "0".repeat(dice.below(14));
            let one: String = (0..dice.below(3_000)).map(|_| "1\r\n \r\n").collect();
            (format!("{zeros}2\r\n{{}}\r\n{one}0\r\n\r\n"), TAKEN)
        }
    };
    (grammar.post("Transfer-Encoding: chunked\r\n", body.as_bytes()), expected)
}

fn credential(grammar: &Grammar, dice: &mut Dice) -> Made {
    let token = &grammar.token;
    let wrong = token.replace(char::is_numeric, "7");
    let long = Dice::filled("A", [100, 10_000, 31_000][dice.below(3)]);
    let base64 = |text: &[u8]| BASE64_STANDARD.encode(text);
    let (value, expected): (String, &[u16]) = match dice.below(10) {
        0 => (format!("Bearer {wrong}x"), &[401]),
        1 => (format!("Bearer  {token} "), TAKEN),
        2 => (format!("Bearer {token},{token}"), &[400]),
        3 => (format!("bEARER {token}"), TAKEN),
        4 => (
            dice.one(&["Bearer", "Bearer ", "", "Basic", "Digest a", "Bearer\t", "Bearer a b"])
                .to_owned(),
            &[400],
        ),
        5 => (format!("Basic {}", base64(&dice.bytes(60))), ANY),
        6 => (format!("Basic {}", base64(format!("{long}:{token}").as_bytes())), ANY),
        7 => (format!("Basic {}", base64(format!(":{token}").as_bytes()).replace('=', "")), TAKEN),
        8 => (format!("Bearer {long}"), ANY),
        _ => (format!("Bearer \u{e9}{token}\r\nAuthorization: Bearer {token}"), &[400]),
    };
    let head = format!("POST /v1/process HTTP/1.1\r\nHost: g\r\nAuthorization: {value}\r\n");
    (format!("{head}Content-Length: 2\r\n\r\n{{}}").into_bytes(), expected)
}

fn query(grammar: &Grammar, dice: &mut Dice) -> Made {
    let token = &grammar.token;
    let long =
        Dice::filled(dice.one(&["a", "%F0%9F%98%80", "&", "&from=", "+", "%"]), dice.below(7_000));
    let (text, expected): (String, &[u16]) = match dice.below(8) {
        0 => (format!("token={token}&from={long}"), ANY),
        1 => (format!("token={token}&token={token}"), &[400]),
        2 => (format!("token={token}&%74oken=x"), &[400]),
        3 => (format!("token={}", token.replace('_', "%5F")), TAKEN),
        4 => (
            dice.one(&[
                "token",
                "token=",
                "token=%",
                "token=%ff",
                "token=%00",
                "token==",
                "TOKEN=a",
            ])
            .to_owned(),
            &[401],
        ),
        5 => (format!("{long}&token={token}"), ANY),
        6 => (format!("from=%ff%fe%00%0d%0a&token={token}"), TAKEN),
        _ => (format!("token={token}\u{e9}"), ANY),
    };
    let head =
        format!("PUT /v1/process?{text} HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{{}}");
    (head.into_bytes(), expected)
}

fn encoding(grammar: &Grammar, dice: &mut Dice) -> Made {
    let (value, body, expected): (&str, Vec<u8>, &[u16]) = match dice.below(8) {
        0 => (
            dice.one(&[
                "br",
                "zstd",
                "compress",
                "gzip, gzip",
                "gzip\r\nContent-Encoding: gzip",
                "*",
                "g zip",
                "\u{e9}",
            ]),
            b"{}".to_vec(),
            &[415],
        ),
        1 => (dice.one(&["", " ", "identity", "IDENTITY"]), b"{}".to_vec(), TAKEN),
        2 => (dice.one(&["gzip", "deflate", "x-gzip"]), dice.bytes(200), ANY),
        3 if dice.once_in(10) => ("gzip", grammar.bombs.empty.clone(), &[400]),
        3 => ("gzip", grammar.bombs.one(dice).to_vec(), &[413]),
        4 => {
            let mut body = bodies::gzip(br#"{"status": "firing", "key": "a"}"#);
            let at = dice.below(body.len());
            body[at] ^= 1 << dice.below(8);
            ("gzip", body, ANY)
        }
        5 => {
            let body = bodies::gzip(br#"{"status": "firing", "key": "b"}"#);
            ("gzip", body[..dice.below(body.len())].to_vec(), ANY)
        }
        6 => ("gzip", bodies::gzip(&bodies::gzip(&bodies::gzip(b"{}"))), TAKEN),
        _ => ("gzip", bodies::gzip(br#"{"status": "resolved"}"#).repeat(1 + dice.below(50)), TAKEN),
    };
    (grammar.with_length(&format!("Content-Encoding: {value}\r\n"), &body), expected)
}

fn json(grammar: &Grammar, dice: &mut Dice) -> Made {
    let body = bodies::json(dice);
    (grammar.with_length("Content-Type: application/json\r\n", &body), TAKEN)
}

fn content_type(grammar: &Grammar, dice: &mut Dice) -> Made {
    let (kind, body) = bodies::typed(dice);
    (grammar.with_length(&format!("Content-Type: {kind}\r\n"), &body), TAKEN)
}

fn odd_headers(grammar: &Grammar, dice: &mut Dice) -> Made {
    let (line, expected): (&str, &[u16]) = match dice.below(4) {
        0 => (
            dice.one(&["coffee", "100-continue, 100-continue", "", "200-ok", "100-continue;a"]),
            &[417],
        ),
        1 => {
            let value = dice.one(&["100-continue", "100-CONTINUE"]);
            return (grammar.with_length(&format!("Expect: {value}\r\n"), b"{}"), TAKEN);
        }
        2 => {
            let lines = [
                "Prefer: wait=99999999999999999999\r\n",
                "Prefer: wait=-1\r\n",
                "Prefer: ,,;;==\r\n",
                "Prefer: respond-async; wait=\"\\\r\n",
                "Prefer: \u{e9}\r\nPrefer: wait=0\r\n",
                "traceparent: 00-00000000000000000000000000000000-0000000000000000-00\r\n",
                "traceparent: ff-\u{e9}\r\n",
                "traceparent: \r\ntracestate: =\r\n",
                "X-Forwarded-For: ,,,[::\r\n",
                "Range: bytes=0-\r\n",
                "If-Match: *\r\n",
                "TE: trailers\r\n",
                "Content-MD5: x\r\nDigest: y\r\n",
                "Keep-Alive: timeout=-1\r\n",
                "HTTP2-Settings: AAMAAABk\r\n",
            ];
            return (grammar.with_length(dice.one(&lines), b"{}"), TAKEN);
        }
        _ => {
            return (
                b"HEAD /livez HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n".to_vec(),
                &[200],
            );
        }
    };
    (grammar.with_length(&format!("Expect: {line}\r\n"), b"{}"), expected)
}

fn pipeline(grammar: &Grammar, dice: &mut Dice) -> Made {
    let makers: [Make; 6] = [header, length, chunks, credential, query, request_line];
    let mut all = Vec::new();
    for _ in 0..2 + dice.below(4) {
        all.extend(makers[dice.below(makers.len())](grammar, dice).0);
    }
    (all, ANY)
}

/// HTTP/2 frames that a client may send or not, after a greeting that is mostly right.
fn frames(_: &Grammar, dice: &mut Dice) -> Made {
    let mut bytes = PREFACE.to_vec();
    if dice.once_in(8) {
        spoil(dice, &mut bytes);
    }
    bytes.extend(frame(4, 0, 0, &[]));
    for n in 0..1 + dice.below(12) {
        let kind = u8::try_from(dice.below(13)).unwrap_or_default();
        let flags = dice.number().to_le_bytes()[0] & 0x2d;
        let stream =
            [0, 1, 2, 3, u32::MAX, 2 * u32::try_from(n).unwrap_or_default() + 1][dice.below(6)];
        let payload = match dice.below(3) {
            0 => POST.to_vec(),
            1 => dice.bytes(40),
            _ => vec![0; [4, 5, 6, 8][dice.below(4)]],
        };
        bytes.extend(frame(kind, flags, stream, &payload));
    }
    if dice.once_in(4) {
        spoil(dice, &mut bytes);
    }
    (bytes, ANY)
}

/// A frame of HTTP/2.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}
