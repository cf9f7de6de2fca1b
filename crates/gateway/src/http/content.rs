//! From a body to a payload: forms are unwrapped, what is not text counts as empty.
//!
//! A body that is JSON is JSON whatever its type says. Must not know filters.

use bytes::Bytes;
use domain::json::Json;
use http::{HeaderMap, header};

/// Form fields that hold a payload, in the order of preference.
const FIELDS: [&str; 2] = ["payload", "data"];
/// Types of `application/` that are no text.
const BINARY: [&str; 6] = ["octet-stream", "pdf", "zip", "gzip", "x-tar", "x-protobuf"];

/// The payload in a decoded body.
pub async fn payload(headers: &HeaderMap, body: Bytes) -> Bytes {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (family, name) = essence.split_once('/').unwrap_or((&essence, ""));
    match (family, name) {
        ("application", "x-www-form-urlencoded") => urlencoded(body),
        // Put aside: it is large, and hardly anybody sends one.
        ("multipart", "form-data") => Box::pin(multipart(kind, body)).await,
        ("image" | "audio" | "video" | "font", _) => only_json(body),
        ("application", name) if BINARY.contains(&name) => only_json(body),
        _ => body,
    }
}

fn is_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).is_ok_and(|text| Json::parse(text).is_ok())
}

fn only_json(body: Bytes) -> Bytes {
    if is_json(&body) { body } else { Bytes::new() }
}

/// A JSON body labelled as a form, or a form with JSON in one of the fields; else the text.
fn urlencoded(body: Bytes) -> Bytes {
    if is_json(&body) {
        return body;
    }
    let field = FIELDS.iter().find_map(|wanted| {
        let mut pairs = form_urlencoded::parse(&body);
        pairs.find(|(name, value)| name == wanted && is_json(value.as_bytes()))
    });
    match field {
        Some((_, value)) => Bytes::from(value.into_owned()),
        None => body,
    }
}

/// The first of the fields that holds JSON; else the body as it is.
async fn multipart(kind: &str, body: Bytes) -> Bytes {
    if is_json(&body) {
        return body;
    }
    let Ok(boundary) = multer::parse_boundary(kind) else {
        return body;
    };
    let whole = body.clone();
    let stream = futures::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let mut found: [Option<Bytes>; FIELDS.len()] = Default::default();
    while let Ok(Some(field)) = form.next_field().await {
        let place = FIELDS.iter().position(|wanted| field.name() == Some(*wanted));
        let Ok(content) = field.bytes().await else {
            break;
        };
        if let Some(place) = place.filter(|_| is_json(&content)) {
            found[place].get_or_insert(content);
        }
    }
    found.into_iter().flatten().next().unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"status": "firing"}"#;

    async fn check(kind: &str, body: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        let found = payload(&headers, Bytes::copy_from_slice(body.as_bytes())).await;
        assert_eq!(found, expected.as_bytes(), "{kind} {body}");
    }

    #[tokio::test]
    async fn each_type_gives_the_payload_that_is_in_it() {
        for kind in [
            "",
            "application/json",
            "text/plain; charset=UTF-8",
            "text/html",
            "image/png",
            "application/octet-stream",
            "application/x-www-form-urlencoded",
            "nonsense",
        ] {
            check(kind, JSON, JSON).await;
        }
        check("text/plain", "disk full", "disk full").await;
        check("application/xml", "<a/>", "<a/>").await;
        check("image/png", "\u{1}PNG", "").await;
        check("audio/ogg", "x", "").await;
        let encoded: String = form_urlencoded::byte_serialize(JSON.as_bytes()).collect();
        let form = "application/x-www-form-urlencoded";
        check(form, &format!("payload={encoded}"), JSON).await;
        check(form, &format!("a=b&data={encoded}"), JSON).await;
        check(form, "a=b&c=d", "a=b&c=d").await;
        let multipart = format!(
            "--X\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{JSON}\r\n--X--\r\n"
        );
        check("multipart/form-data; boundary=X", &multipart, JSON).await;
        check("multipart/form-data", &multipart, &multipart).await;
        check("multipart/form-data; boundary=X", "broken", "broken").await;
    }
}
