//! What is promised of incident events in `docs/asyncapi.json`, and whether a message keeps it.
//!
//! Must not know more of events than that document says.

use std::path::Path;
use std::sync::LazyLock;

use anyhow::Context;
use jsonschema::{Registry, Validator};
use serde_json::{Map, Value};

use crate::events::Stored;

/// The document, from the root of the repository.
pub const DOCUMENT: &str = "docs/asyncapi.json";
/// Where the files are said to be, so that references between them are found.
const ROOT: &str = "file:///gander/";

static CHANNELS: LazyLock<Vec<Channel>> =
    LazyLock::new(|| channels().expect("docs/asyncapi.json has channels with one message each"));

/// A channel with its one message.
struct Channel {
    address: Vec<String>,
    /// Parameters of the address, and where in the message their values are.
    parameters: Map<String, Value>,
    correlation: String,
    headers: Validator,
    payload: Validator,
}

/// What is wrong with a message, as the document has it; nothing if it keeps what is promised.
#[must_use]
pub fn violations(message: &Stored) -> Vec<String> {
    let subject: Vec<&str> = message.subject.split('.').collect();
    let Some(channel) = CHANNELS.iter().find(|channel| channel.matches(&subject)) else {
        return vec![format!("{}: no channel has this address", message.subject)];
    };
    match serde_json::from_slice(&message.payload) {
        Ok(payload) => channel.violations(message, &subject, &payload),
        Err(error) => vec![format!("{}: {error}", message.subject)],
    }
}

impl Channel {
    fn matches(&self, subject: &[&str]) -> bool {
        let fits = |(part, found): (&String, &&str)| part.starts_with('{') || part == found;
        self.address.len() == subject.len() && self.address.iter().zip(subject).all(fits)
    }

    fn violations(&self, message: &Stored, subject: &[&str], payload: &Value) -> Vec<String> {
        let headers =
            message.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        let headers = Value::Object(headers.collect());
        let by_schema = [(&self.headers, &headers), (&self.payload, payload)].into_iter();
        let by_schema = by_schema.flat_map(|(schema, value)| schema.iter_errors(value));
        let mut wrong: Vec<_> =
            by_schema.map(|error| format!("{}: {error}", error.instance_path())).collect();
        for (part, found) in self.address.iter().zip(subject).filter(|(p, _)| p.starts_with('{')) {
            let parameter = &self.parameters[part.trim_matches(['{', '}'])];
            let value = located(&parameter["location"], &headers, payload);
            if value != Some(found) {
                wrong.push(format!("{part} of the subject is {found}, not {value:?}"));
            }
        }
        if located(&Value::from(self.correlation.as_str()), &headers, payload).is_none() {
            wrong.push(format!("{} is missing", self.correlation));
        }
        wrong
    }
}

/// The text at a runtime expression, such as `$message.header#/name`.
fn located<'a>(location: &Value, headers: &'a Value, payload: &'a Value) -> Option<&'a str> {
    let (part, pointer) = location.as_str()?.split_once('#')?;
    let within = if part == "$message.header" { headers } else { payload };
    within.pointer(pointer)?.as_str()
}

/// A JSON file by its path from the root of the repository.
///
/// # Errors
/// It is missing or no JSON.
pub fn json(file: &str) -> anyhow::Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn channels() -> anyhow::Result<Vec<Channel>> {
    let document = json(DOCUMENT)?;
    let schema = "proto/gander/events/v1/incident.schema.json";
    let registry = Registry::new().add(format!("{ROOT}{schema}"), json(schema)?)?.prepare()?;
    let validator = |schema: &Value| {
        let options = jsonschema::options().with_base_uri(format!("{ROOT}{DOCUMENT}"));
        options.with_registry(&registry).should_validate_formats(true).build(schema)
    };
    let referred = |to: &Value| -> Option<&Value> {
        document.pointer(to["$ref"].as_str()?.strip_prefix('#')?)
    };
    let channels = document["channels"].as_object().context("channels")?.values();
    let channels = channels.map(|channel| {
        let messages = channel["messages"].as_object().context("messages")?;
        anyhow::ensure!(messages.len() == 1, "one message a channel");
        let message = messages.values().find_map(referred).context("the message")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        Ok(Channel {
            address: text(&channel["address"])?.split('.').map(str::to_owned).collect(),
            parameters: channel["parameters"].as_object().context("parameters")?.clone(),
            correlation: text(&message["correlationId"]["location"])?,
            headers: validator(&message["headers"])?,
            payload: validator(&message["payload"])?,
        })
    });
    channels.collect()
}
