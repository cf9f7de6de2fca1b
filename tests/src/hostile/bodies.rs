//! Hostile bodies: bombs, JSON that is deep, double or odd, forms that are none.
//!
//! Must not know how they are sent.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::dice::Dice;

/// Encoded bodies that are short and become long, made once.
#[derive(Debug)]
pub struct Bombs {
    /// They become long.
    long: Vec<Vec<u8>>,
    /// One that becomes nothing, and takes its time.
    pub empty: Vec<u8>,
}

impl Default for Bombs {
    fn default() -> Self {
        let spaces = |mib: usize| gzip(&vec![b' '; mib * 1024 * 1024]);
        let long = vec![spaces(2), spaces(10), spaces(100), [spaces(1), spaces(1)].concat()];
        Self { long, empty: gzip(b"").repeat(40_000) }
    }
}

impl Bombs {
    /// One of them, the small ones more often.
    pub fn one(&self, dice: &mut Dice) -> &[u8] {
        let most = if dice.once_in(20) { self.long.len() } else { 1 };
        &self.long[dice.below(most)]
    }
}

/// A body, encoded.
#[must_use]
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// JSON, or what claims to be.
pub fn json(dice: &mut Dice) -> Vec<u8> {
    let deep = [10, 127, 128, 129, 1_000, 100_000][dice.below(6)];
    // The long ones are rare: they cost more than all others together.
    let deep = if deep == 100_000 && !dice.once_in(10) { 200 } else { deep };
    let wide = if dice.once_in(50) { 20_000 } else { 50 };
    let text = match dice.below(14) {
        0 => "[".repeat(deep),
        1 => format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        2 => format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep)),
        3 => format!("{{\"status\":\"firing\",{}\"status\":\"x\"}}", "\"status\":1,".repeat(wide)),
        4 => format!("{{\"key\":{}}}", "9".repeat(wide)),
        5 => "{\"key\":1e999999999,\"status\":-0.0000000e-999}".to_owned(),
        6 => dice
            .one(&[
                r#"{"status":"\ud800"}"#,
                r#"{"status":"\udc00\ud800"}"#,
                r#"{"\u0000":"\u0000"}"#,
            ])
            .to_owned(),
        7 => format!("{{\"status\":\"firing\",\"key\":\"{}\"}}", "\u{202e}\u{0}".repeat(20)),
        8 => format!("{{\"alerts\":[{}1]}}", "{\"labels\":[[[1]]]},".repeat(wide)),
        9 => "\u{feff}{\"status\":\"firing\"}".to_owned(),
        10 => dice
            .one(&["NaN", "{,}", "[1,]", "{'a':1}", "\"", "nul", "1 2", "// x\n{}", "\u{0}", " "])
            .to_owned(),
        11 => format!("{{\"status\":\"{}\"}}", "İıſK".repeat(wide)),
        12 => format!("{{\"status\":\"{}\"}}", "\\u0041\\n".repeat(wide)),
        _ => format!("{{\"{}\":1}}", "a.b[*]".repeat(80)),
    };
    let mut bytes = text.into_bytes();
    if dice.once_in(4) {
        let at = dice.below(bytes.len() + 1);
        bytes.splice(at..at, [0xff, 0xc0, 0x80]);
    }
    bytes
}

/// A content type and a body that has not much to do with it.
pub fn typed(dice: &mut Dice) -> (String, Vec<u8>) {
    let boundary = boundary(dice);
    let part = |name: &str, body: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name={name}\r\n\r\n{body}\r\n")
    };
    let many = if dice.once_in(20) { 2_000 } else { 3 };
    match dice.below(8) {
        0 => (
            format!("multipart/form-data; boundary={boundary}"),
            part("\"data\"", "{\"a\":1}").into_bytes(),
        ),
        1 => {
            let parts = part("\"payload\"", "[").repeat(many) + &format!("--{boundary}--");
            (format!("multipart/form-data; boundary={boundary}"), parts.into_bytes())
        }
        2 => ("multipart/form-data".to_owned(), part("data", "{}").into_bytes()),
        3 => (
            format!("multipart/form-data; boundary={boundary}"),
            format!("--{boundary}\r\n{}\r\n\r\n", "A: b\r\n".repeat(many)).into_bytes(),
        ),
        4 => (
            "application/x-www-form-urlencoded".to_owned(),
            "payload=%7B%7D&".repeat(many).into_bytes(),
        ),
        5 => (
            "application/x-www-form-urlencoded".to_owned(),
            dice.one(&[
                "payload=%",
                "payload",
                "=&=&=",
                "data=%ff",
                "payload={\"a\":1}&data=[",
                "%00",
            ])
            .as_bytes()
            .to_vec(),
        ),
        6 => (
            dice.one(&[
                "image/png",
                "application/pdf",
                "video/",
                "/",
                ";",
                "a/b/c; q=\"",
                "text/plain; charset=utf-16",
            ])
            .to_owned(),
            dice.bytes(300),
        ),
        _ => ("text/plain".to_owned(), dice.bytes(300)),
    }
}

fn boundary(dice: &mut Dice) -> String {
    let long = "0123456789".repeat(10);
    dice.one(&["X", "", "\"a b\"", "--", "X; boundary=Y", "\u{e9}", "X\"", &long]).to_owned()
}
