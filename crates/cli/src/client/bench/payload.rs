//! Payloads with places for what differs from alert to alert.
//!
//! Must not know filters.

use super::mix::Kind;

const STATUS: &str = "{{status}}";
const EPISODE: &str = "{{episode}}";
const HEAD: &str =
    r#"{"status":"{{status}}","alertname":"{{episode}}","summary":"gander bench","padding":""#;
const TAIL: &str = r#""}"#;

/// A payload of which parts are put in for each alert.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
    /// How long it is to be, where its last part is made longer.
    length: Option<usize>,
}

#[derive(Clone, Debug)]
enum Part {
    Bytes(Vec<u8>),
    Status,
    Episode,
}

impl Template {
    /// A generated payload of so many bytes.
    pub fn generated(bytes: usize) -> Self {
        Self { parts: parts(HEAD.as_bytes()), length: Some(bytes) }
    }

    /// A payload of somebody.
    pub fn of(payload: &[u8]) -> Self {
        Self { parts: parts(payload), length: None }
    }

    /// Whether an alert that resolves differs from one that triggers.
    pub fn can_resolve(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Status))
    }

    /// The payload of one alert.
    pub fn fill(&self, kind: Kind, episode: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length.unwrap_or_default());
        for part in &self.parts {
            match part {
                Part::Bytes(text) => bytes.extend_from_slice(text),
                Part::Status => bytes.extend_from_slice(kind.status().as_bytes()),
                Part::Episode => bytes.extend_from_slice(episode.as_bytes()),
            }
        }
        if let Some(length) = self.length {
            bytes.resize((length - TAIL.len()).max(bytes.len()), b'x');
            bytes.extend_from_slice(TAIL.as_bytes());
        }
        bytes
    }
}

fn parts(mut rest: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = Vec::new();
    while let Some(first) = rest.first() {
        let found = [(STATUS, Part::Status), (EPISODE, Part::Episode)];
        let found = found.into_iter().find(|(name, _)| rest.starts_with(name.as_bytes()));
        let Some((name, part)) = found else {
            text.push(*first);
            rest = &rest[1..];
            continue;
        };
        parts.push(Part::Bytes(std::mem::take(&mut text)));
        parts.push(part);
        rest = &rest[name.len()..];
    }
    parts.push(Part::Bytes(text));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_payload_is_json_of_its_length() {
        for (bytes, episode) in [(150, "bench-0badcafe-18446744073709551615"), (1_000, "bench-0-1")]
        {
            let template = Template::generated(bytes);
            for kind in Kind::ALL {
                let payload = template.fill(kind, episode);
                assert_eq!(payload.len(), bytes);
                let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                assert_eq!(json["status"], kind.status());
                assert_eq!(json["alertname"], episode);
            }
            assert!(template.can_resolve());
        }
    }

    #[test]
    fn of_a_file_only_what_is_named_is_replaced() {
        let fill = |text: &str, kind| {
            let filled = Template::of(text.as_bytes()).fill(kind, "e1");
            String::from_utf8(filled).unwrap()
        };
        let text = "{{episode}} is {{status}}{{status}}, {{ status }} {{other}} {{";
        assert_eq!(fill(text, Kind::Resolve), "e1 is resolvedresolved, {{ status }} {{other}} {{");
        assert_eq!(fill("", Kind::Trigger), "");
        let bytes = b"\xff{{episode}}\x00";
        assert_eq!(Template::of(bytes).fill(Kind::Repeat, "{{status}}"), b"\xff{{status}}\x00");
        assert!(!Template::of(bytes).can_resolve());
    }
}
