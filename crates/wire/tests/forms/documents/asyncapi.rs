//! AsyncAPI 3 about incident events: a channel and a message for each kind.
//!
//! Must not know how events are stored.

use domain::incident::Kind;
use serde_json::{Map, Value, json};
use wire::event::cloudevent_type;
use wire::{header, subject};

use crate::examples::{event, traced_event};

/// Members of every incident.
const ALWAYS: [&str; 12] = [
    "name",
    "id",
    "team",
    "service",
    "filter",
    "urgency",
    "status",
    "occurrences",
    "createTime",
    "lastOccurrenceTime",
    "token",
    "alert",
];

/// The document about these kinds; `schema` is where the schema of the data is from there.
pub fn document(kinds: impl Iterator<Item = Kind>, schema: &str) -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for kind in kinds {
        let name = kind.name().to_owned();
        operations.insert(format!("send_{name}"), operation(&name));
        channels.insert(name.clone(), channel(kind));
        messages.insert(name, message(kind, schema));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gander incident events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "CloudEvents 1.0 in the binary mode of NATS, stored in the JetStream \
                stream GANDER_INCIDENTS. The data is JSON; the same message as protobuf is what \
                gander.admin.v1.IncidentService.WatchIncidents sends over gRPC. Subscribers read \
                with a consumer that has a filter subject; they never write.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {
            "host": "127.0.0.1:4222",
            "protocol": "nats",
            "description": format!("nats-server with JetStream; the stream is {}.", subject::INCIDENTS_STREAM),
        }},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}

/// Gander is the application of the document: it sends.
fn operation(name: &str) -> Value {
    json!({
        "action": "send",
        "channel": {"$ref": format!("#/channels/{name}")},
        "messages": [{"$ref": format!("#/channels/{name}/messages/{name}")}],
    })
}

fn channel(kind: Kind) -> Value {
    let opening = event().incident.opening;
    let (team, service) = (opening.team.to_string(), opening.service.to_string());
    let address = subject::event(kind, opening.team, opening.service);
    let address = address.replace(&team, "{team}").replace(&service, "{service}");
    let parameter = |name: &str| {
        let location = format!("$message.payload#/incident/{name}");
        json!({"description": format!("The id of the {name}."), "location": location})
    };
    let name = kind.name();
    let mut messages = Map::new();
    messages.insert(name.to_owned(), json!({"$ref": format!("#/components/messages/{name}")}));
    json!({
        "address": address,
        "description": meaning(kind),
        "servers": [{"$ref": "#/servers/nats"}],
        "parameters": {"team": parameter("team"), "service": parameter("service")},
        "messages": messages,
    })
}

const fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Created => "An incident was opened.",
        Kind::Repeated => "Further alerts of an open incident came; may stand for several.",
        Kind::Acknowledged => "Somebody has taken an open incident on.",
        Kind::Resolved => "An incident was closed for good.",
    }
}

fn message(kind: Kind, schema: &str) -> Value {
    json!({
        "name": cloudevent_type(kind),
        "title": meaning(kind),
        "contentType": "application/json",
        "correlationId": {
            "description": "The id of the incident: the events of one are in order.",
            "location": format!("$message.header#/{}", header::INCIDENT),
        },
        "headers": headers(kind),
        "payload": {"allOf": [{"$ref": schema}, promises(kind)]},
    })
}

/// What is always there, and what an event of this kind says of its incident.
fn promises(kind: Kind) -> Value {
    let resolved = json!({"const": "INCIDENT_STATUS_RESOLVED"});
    let open = json!({"not": resolved});
    let by_alert = ["alert", "alertCount"].as_slice();
    let (status, of_event, of_incident) = match kind {
        Kind::Created | Kind::Repeated => (open, by_alert, [].as_slice()),
        Kind::Acknowledged => (open, [].as_slice(), ["acknowledgeTime", "acknowledger"].as_slice()),
        Kind::Resolved => (resolved, [].as_slice(), ["resolveTime", "resolveReason"].as_slice()),
    };
    let event = [["id", "type", "incident", "time"].as_slice(), of_event].concat();
    let incident = [ALWAYS.as_slice(), of_incident].concat();
    json!({
        "required": event,
        "properties": {
            "type": {"const": cloudevent_type(kind)},
            "incident": {"required": incident, "properties": {"status": status}},
        },
    })
}

/// The headers that events are made with, those of the writer, and those of the server.
fn headers(kind: Kind) -> Value {
    let made = event().headers();
    let always = made.iter().map(|(name, _)| *name).chain([header::INCIDENT, header::TTL]);
    let always: Vec<_> = always.collect();
    let traced = traced_event().headers();
    let traced = traced.iter().map(|(name, _)| *name).filter(|name| !always.contains(name));
    let by_server = ["Nats-Batch-Id", "Nats-Batch-Sequence"];
    let sometimes: Vec<_> = traced.chain(by_server).collect();
    let all = always.iter().chain(&sometimes);
    let properties: Map<_, _> =
        all.map(|name| ((*name).to_owned(), header_schema(name, kind))).collect();
    json!({"type": "object", "required": always, "properties": properties})
}

fn header_schema(name: &str, kind: Kind) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let uuid =
        |description: &str| json!({"type": "string", "format": "uuid", "description": description});
    match name {
        "ce-specversion" => json!({"const": "1.0"}),
        "ce-id" => uuid("The id of the event, the same however often it is delivered."),
        "ce-source" => json!({"type": "string", "pattern": "^/gander/teams/[^/]+/services/[^/]+$"}),
        "ce-type" => json!({"const": cloudevent_type(kind)}),
        "ce-subject" => text("The resource name of the incident."),
        "ce-time" => json!({"type": "string", "format": "date-time"}),
        "ce-datacontenttype" => json!({"const": "application/json"}),
        "ce-partitionkey" | header::INCIDENT => uuid("The id of the incident."),
        "ce-traceparent" | header::TRACEPARENT => json!({
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$",
            "description": "Where the event stands in a trace (W3C Trace Context).",
        }),
        header::TTL => text("How long the server keeps the message."),
        "Nats-Batch-Id" | "Nats-Batch-Sequence" => text("Of the server: ignore it."),
        other => panic!("say here what the header {other} is"),
    }
}
