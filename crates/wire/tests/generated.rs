//! The generated code in `src/proto/` is what the `.proto` files give.
//!
//! Needs no protoc: the compiler is a library. Where the code is stale, the test writes it anew
//! and fails, so that `make proto` is this test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

const FILES: [&str; 17] = [
    "gander/admin/v1/apilog.proto",
    "gander/admin/v1/audit.proto",
    "gander/admin/v1/catalog.proto",
    "gander/admin/v1/incident.proto",
    "gander/admin/v1/maintenance.proto",
    "gander/admin/v1/parked.proto",
    "gander/admin/v1/principal.proto",
    "gander/admin/v1/reasons.proto",
    "gander/admin/v1/status.proto",
    "gander/admin/v1/token.proto",
    "gander/events/v1/incident.proto",
    "gander/stored/v1/alert.proto",
    "gander/stored/v1/apilog.proto",
    "gander/stored/v1/backup.proto",
    "gander/stored/v1/control.proto",
    "gander/stored/v1/member.proto",
    "gander/stored/v1/worker.proto",
];

/// Its JSON form is the canonical one.
const TIMESTAMP: &str = "crate::timestamp::Timestamp";

fn generate(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let descriptors = protox::compile(FILES, [root]).unwrap();
    let encoded = descriptors.encode_to_vec();
    tonic_prost_build::configure()
        .out_dir(into)
        .bytes(".")
        .extern_path(".google.protobuf.Timestamp", TIMESTAMP)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_well_known_types(true)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)
        .unwrap();
    pbjson_build::Builder::new()
        .out_dir(into)
        .extern_path(".google.protobuf.Timestamp", TIMESTAMP)
        .extern_path(".google.protobuf", "::pbjson_types")
        .register_descriptors(&encoded)
        .unwrap()
        .build(&[".gander.admin", ".gander.events"])
        .unwrap();
    fs::write(into.join("descriptor.bin"), encoded).unwrap();
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let generated = entries.filter(|path| !path.ends_with("mod.rs"));
    generated.map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap())).collect()
}

#[test]
fn generated_code_is_current() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto");
    let (expected, found) = (contents(fresh.path()), contents(&tree));
    if expected != found {
        for stale in found.keys() {
            fs::remove_file(tree.join(stale)).unwrap();
        }
        for (name, bytes) in &expected {
            fs::write(tree.join(name), bytes).unwrap();
        }
        panic!(
            "the generated code was stale; it has been written anew: read the change and commit it"
        );
    }
}

#[test]
fn every_proto_file_is_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert_eq!(found, FILES);
}
