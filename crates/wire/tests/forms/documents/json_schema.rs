//! JSON Schema (draft 7, which AsyncAPI takes) of the canonical JSON of an event message, from the
//! descriptors with their comments.
//!
//! A field with its default is left out of that form, so none is required and no value is a
//! default. Must not know what a message means.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};
use serde_json::{Map, Value, json};

const PACKAGE: &str = "gander.events.v1";
const ROOT: &str = "IncidentEvent";
const TIMESTAMP: &str = ".google.protobuf.Timestamp";
/// Numbers of fields in `descriptor.proto`, of which paths to comments are made.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const MEMBERS: i32 = 2;

/// The schema of the data of an event.
pub fn of_event() -> Value {
    let files = FileDescriptorSet::decode(wire::proto::DESCRIPTORS).unwrap().file;
    let files: Vec<_> = files.into_iter().filter(|file| file.package() == PACKAGE).collect();
    let mut definitions: Map<_, _> =
        files.iter().flat_map(|file| File::new(file).schemas()).collect();
    let mut root = definitions.remove(ROOT).unwrap();
    let used = references(&root, &definitions);
    definitions.retain(|name, _| used.contains(name));
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!(format!("{PACKAGE}.{ROOT}"));
    root["definitions"] = definitions.into();
    root
}

/// The definitions that a schema refers to, and those that these refer to.
fn references(schema: &Value, definitions: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![schema];
    while let Some(value) = waiting.pop() {
        let name = value["$ref"].as_str().and_then(|r| r.strip_prefix("#/definitions/"));
        if let Some(name) = name.filter(|name| found.insert((*name).to_owned())) {
            waiting.push(&definitions[name]);
        }
        waiting.extend(value.as_object().into_iter().flat_map(Map::values));
        waiting.extend(value.as_array().into_iter().flatten());
    }
    found
}

/// A file with its comments, by the path of what they are about.
struct File<'a> {
    file: &'a FileDescriptorProto,
    comments: BTreeMap<&'a [i32], String>,
}

impl<'a> File<'a> {
    fn new(file: &'a FileDescriptorProto) -> Self {
        let locations = &file.source_code_info.as_ref().unwrap().location;
        let comments = locations.iter().filter(|l| l.leading_comments.is_some()).map(|location| {
            let lines = location.leading_comments().lines().map(str::trim);
            (&*location.path, lines.collect::<Vec<_>>().join(" ").trim().to_owned())
        });
        Self { file, comments: comments.collect() }
    }

    fn schemas(&self) -> Vec<(String, Value)> {
        let messages = (0..).zip(&self.file.message_type);
        let messages =
            messages.map(|(n, message)| (message.name().to_owned(), self.message(n, message)));
        let enums = (0..).zip(&self.file.enum_type);
        let enums = enums.map(|(n, choice)| (choice.name().to_owned(), self.choice(n, choice)));
        messages.chain(enums).collect()
    }

    /// Every member of a contract is described; else `make proto` fails here.
    fn comment(&self, path: &[i32]) -> &str {
        self.comments.get(path).unwrap_or_else(|| panic!("{path:?} has no comment"))
    }

    fn message(&self, n: i32, message: &DescriptorProto) -> Value {
        let properties = (0..).zip(&message.field).map(|(m, field)| {
            let schema = described(schema(field), self.comment(&[MESSAGES, n, MEMBERS, m]));
            (field.json_name().to_owned(), schema)
        });
        let properties: Map<_, _> = properties.collect();
        let description = self.comment(&[MESSAGES, n]);
        json!({"type": "object", "description": description, "properties": properties})
    }

    fn choice(&self, n: i32, choice: &EnumDescriptorProto) -> Value {
        let values = (0..).zip(&choice.value).filter(|(_, value)| value.number() != 0);
        let values = values.map(|(m, value)| (value.name(), self.comment(&[ENUMS, n, MEMBERS, m])));
        let (names, lines): (Vec<_>, Vec<_>) =
            values.map(|(name, comment)| (name, format!("\n- `{name}`: {comment}"))).unzip();
        let description = format!("{}{}", self.comment(&[ENUMS, n]), lines.concat());
        json!({"type": "string", "description": description, "enum": names})
    }
}

fn described(mut schema: Value, description: &str) -> Value {
    // What stands beside `$ref` is passed over in draft 7.
    if schema["$ref"].is_string() {
        schema = json!({"allOf": [schema]});
    }
    schema["description"] = json!(description);
    schema
}

fn schema(field: &FieldDescriptorProto) -> Value {
    let one = match field.r#type() {
        Type::String => json!({"type": "string", "minLength": 1}),
        Type::Bytes => json!({"type": "string", "minLength": 4, "contentEncoding": "base64"}),
        Type::Bool => json!({"const": true}),
        Type::Uint64 | Type::Fixed64 => json!({"type": "string", "pattern": "^[1-9][0-9]*$"}),
        Type::Uint32 | Type::Fixed32 => json!({"type": "integer", "minimum": 1}),
        Type::Message if field.type_name() == TIMESTAMP => {
            json!({"type": "string", "format": "date-time"})
        }
        Type::Message | Type::Enum => {
            let name = field.type_name().strip_prefix(&format!(".{PACKAGE}.")).unwrap();
            json!({"$ref": format!("#/definitions/{name}")})
        }
        other @ (Type::Double
        | Type::Float
        | Type::Int32
        | Type::Int64
        | Type::Sint32
        | Type::Sint64
        | Type::Sfixed32
        | Type::Sfixed64
        | Type::Group) => panic!("{}: say here what JSON a {other:?} is", field.name()),
    };
    assert!(!field.proto3_optional() && field.oneof_index.is_none(), "say here what that is");
    if field.label() == Label::Repeated {
        json!({"type": "array", "minItems": 1, "items": one})
    } else {
        one
    }
}
