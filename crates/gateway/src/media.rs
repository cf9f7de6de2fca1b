//! A `Content-Type` as far as Gander looks at it: the type, the character set, the boundary.
//!
//! Must not know what is done with a body of that type.

/// A media type. What cannot be read is absent, never an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Type and subtype in lower case; empty where the header is absent or unreadable.
    pub essence: String,
    /// The `charset` parameter in lower case.
    pub charset: Option<String>,
    /// The `boundary` parameter.
    pub boundary: Option<String>,
}

impl Media {
    /// Reads a `Content-Type`.
    #[must_use]
    pub fn parse(header: &[u8]) -> Self {
        let text = String::from_utf8_lossy(header);
        let (essence, mut rest) = text.split_once(';').unwrap_or((&text, ""));
        let mut media = Self { essence: essence.trim().to_ascii_lowercase(), ..Self::default() };
        if media.essence.split('/').filter(|part| !part.is_empty()).count() != 2 {
            return Self::default();
        }
        while let Some((name, value, after)) = parameter(rest) {
            match name.to_ascii_lowercase().as_str() {
                "charset" => media.charset = media.charset.or(Some(value.to_ascii_lowercase())),
                "boundary" => media.boundary = media.boundary.or(Some(value)),
                _ => {}
            }
            rest = after;
        }
        media
    }

    /// Whether a body of this type is text. A body without a type is taken for text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        let Some((kind, subtype)) = self.essence.split_once('/') else { return true };
        let suffix = subtype.rsplit_once('+').map(|(_, suffix)| suffix);
        matches!(kind, "text" | "message")
            || matches!(suffix, Some("json" | "xml" | "yaml" | "json-seq"))
            || (kind == "application" && TEXT_APPLICATIONS.contains(&subtype))
            || self.is_multipart_form()
    }

    /// Whether it is a form as browsers and curl send it.
    #[must_use]
    pub fn is_urlencoded_form(&self) -> bool {
        self.essence == "application/x-www-form-urlencoded"
    }

    /// Whether it is a form in parts.
    #[must_use]
    pub fn is_multipart_form(&self) -> bool {
        self.essence == "multipart/form-data"
    }
}

/// Subtypes of `application/` that are text though neither their name nor a suffix says so.
const TEXT_APPLICATIONS: &[&str] = &[
    "cloudevents",
    "ecmascript",
    "graphql",
    "javascript",
    "json",
    "json-seq",
    "jsonl",
    "jsonlines",
    "jsonp",
    "logfmt",
    "ndjson",
    "sql",
    "toml",
    "x-javascript",
    "x-json",
    "x-jsonlines",
    "x-ndjson",
    "x-www-form-urlencoded",
    "x-yaml",
    "xml",
    "yaml",
];

/// The next `name=value` of a list that semicolons separate, and what follows it. The value may
/// be a quoted string.
pub fn parameter(list: &str) -> Option<(&str, String, &str)> {
    let list = list.trim_start_matches([';', ' ', '\t']);
    let (name, rest) = list.split_once('=')?;
    if let Some((_, after)) = name.split_once(';') {
        // A parameter without a value is passed over.
        return parameter(&list[list.len() - after.len() - rest.len() - 1..]);
    }
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(';').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim().to_owned(), &rest[end..]));
    };
    let (value, after) = quoted_string(quoted);
    let end = after.find(';').unwrap_or(after.len());
    Some((name.trim(), value, &after[end..]))
}

/// The content of a quoted string whose opening quote is already taken, and what follows the
/// closing one.
pub fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            plain => value.push(plain),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(header: &str, essence: &str, charset: Option<&str>, boundary: Option<&str>) {
        let expected = Media {
            essence: essence.to_owned(),
            charset: charset.map(str::to_owned),
            boundary: boundary.map(str::to_owned),
        };
        assert_eq!(Media::parse(header.as_bytes()), expected, "{header}");
    }

    #[test]
    fn a_content_type_is_read() {
        check("application/json", "application/json", None, None);
        check("Text/PLAIN; Charset=\"ISO-8859-1\"", "text/plain", Some("iso-8859-1"), None);
        check("multipart/form-data; boundary=a;charset=x", "multipart/form-data", Some("x"), Some("a"));
        check("multipart/form-data; boundary=\"a;\\\"b\"", "multipart/form-data", None, Some("a;\"b"));
        check("text/plain;;flag; charset=utf-8", "text/plain", Some("utf-8"), None);
        check("text/plain; charset", "text/plain", None, None);
        check("nonsense", "", None, None);
        check("/", "", None, None);
        check("", "", None, None);
    }

    #[test]
    fn types_that_are_text_are_known() {
        for text in ["", "text/x-anything", "application/problem+json", "image/svg+xml", "application/x-ndjson"] {
            assert!(Media::parse(text.as_bytes()).is_text(), "{text}");
        }
        for other in ["image/png", "audio/ogg", "video/mp4", "application/octet-stream", "application/pdf"] {
            assert!(!Media::parse(other.as_bytes()).is_text(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header: Vec<u8>, text in "[a-z/;=\" \\\\é]{0,40}") {
            let _ = Media::parse(&header);
            let _ = Media::parse(text.as_bytes());
        }
    }
}
