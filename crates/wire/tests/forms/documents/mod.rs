//! The documents about incident events, made from the descriptors and the code: the JSON Schema of
//! their data beside the `.proto`, and AsyncAPI in `docs`.
//!
//! Where one is stale, its test writes it anew and fails. Must not know NATS.

mod asyncapi;
mod json_schema;

use std::fs;
use std::path::Path;

use domain::incident::Kind;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::generate::work;

const SCHEMA: &str = "proto/gander/events/v1/incident.schema.json";
const ASYNCAPI: &str = "docs/asyncapi.json";

/// Every kind of event, in the order of an incident's life.
fn kinds() -> impl Iterator<Item = Kind> {
    let next = |kind: &Kind| match kind {
        Kind::Created => Some(Kind::Repeated),
        Kind::Repeated => Some(Kind::Acknowledged),
        Kind::Acknowledged => Some(Kind::Resolved),
        Kind::Resolved => None,
    };
    std::iter::successors(Some(Kind::Created), next)
}

fn check(file: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let expected = format!("{document:#}\n");
    if fs::read_to_string(&path).unwrap_or_default() != expected {
        fs::write(path, expected).unwrap();
        panic!("{file} was stale; it has been written anew: read the change and commit it");
    }
}

#[test]
fn the_json_schema_of_event_data_is_current() {
    check(SCHEMA, &json_schema::of_event());
}

#[test]
fn the_asyncapi_document_is_current() {
    check(ASYNCAPI, &asyncapi::document(kinds(), &format!("../{SCHEMA}")));
}

fn validator() -> Validator {
    jsonschema::options().should_validate_formats(true).build(&json_schema::of_event()).unwrap()
}

#[test]
fn whatever_event_there_may_be_fits_the_schema() {
    let validator = validator();
    proptest!(|(event in work::incident_events())| {
        let data: Value = serde_json::from_slice(&event.data()).unwrap();
        let wrong: Vec<_> = validator.iter_errors(&data).map(|wrong| wrong.to_string()).collect();
        prop_assert!(wrong.is_empty(), "{data:#}: {wrong:?}");
    });
}

#[test]
fn what_is_no_event_does_not_fit() {
    let validator = validator();
    let event: Value = serde_json::from_slice(&crate::examples::event().data()).unwrap();
    assert!(validator.is_valid(&event));
    for (pointer, value) in [
        ("/time", json!("yesterday")),
        ("/alertCount", json!(1)),
        ("/alertCount", json!("0")),
        ("/alert/id", json!("")),
        ("/incident", json!([])),
        ("/incident/urgency", json!("URGENCY_UNSPECIFIED")),
        ("/incident/status", json!(1)),
    ] {
        let mut wrong = event.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&wrong), "{pointer}: {wrong:#}");
    }
}
