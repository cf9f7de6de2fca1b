//! The arrows between crates point one way: left may not know right.

use std::collections::BTreeSet;
use std::path::Path;

/// From the left to the right. The three roles share a place: they never see each other.
const ORDER: [&[&str]; 7] = [
    &["domain"],
    &["matcher"],
    &["wire"],
    &["runtime"],
    &["admin", "gateway", "worker"],
    &["gander"],
    // A program that measures the others.
    &["bench"],
];

/// A library that only these crates may name.
const ONLY: [(&str, &[&str]); 15] = [
    ("sled", &["runtime"]),
    ("async-nats", &["runtime"]),
    ("getrandom", &["runtime"]),
    // Spans are made through `runtime::traces`, so that one file knows what leaves in them.
    ("opentelemetry", &["runtime"]),
    ("opentelemetry_sdk", &["runtime"]),
    ("opentelemetry-otlp", &["runtime"]),
    ("tonic", &["wire", "admin", "gander"]),
    ("hyper", &["runtime", "gateway"]),
    ("hyper-rustls", &["gander"]),
    ("rustls", &["runtime", "gander"]),
    ("tokio-rustls", &["runtime"]),
    ("governor", &["gateway"]),
    ("prost", &["wire", "runtime", "admin", "worker"]),
    ("tokio", &["runtime", "admin", "gateway", "worker", "gander", "bench"]),
    // What others use is measured against.
    ("axum", &["bench"]),
];

fn place(name: &str) -> Option<usize> {
    ORDER.iter().position(|names| names.contains(&name))
}

fn dependencies(manifest: &str) -> anyhow::Result<BTreeSet<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    Ok(table.into_iter().flat_map(|table| table.keys().cloned()).collect())
}

/// What is wrong with what a crate depends on.
fn wrong(name: &str, manifest: &str) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for dependency in dependencies(manifest)? {
        if let Some(to) = place(&dependency)
            && Some(to) >= place(name)
        {
            wrong.push(format!("{name} may not know {dependency}"));
        }
        if let Some((library, who)) = ONLY.iter().find(|(library, _)| *library == dependency)
            && !who.contains(&name)
        {
            wrong.push(format!("{name} may not name {library}"));
        }
    }
    Ok(wrong)
}

#[test]
fn no_arrow_points_right() -> anyhow::Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut seen = 0;
    for folder in std::fs::read_dir(crates)? {
        let manifest = std::fs::read_to_string(folder?.path().join("Cargo.toml"))?;
        let table: toml::Table = manifest.parse()?;
        let name = table["package"]["name"].as_str().unwrap_or_default().to_owned();
        assert!(place(&name).is_some(), "{name} has no place in the order");
        assert_eq!(wrong(&name, &manifest)?, Vec::<String>::new());
        seen += 1;
    }
    assert_eq!(seen, ORDER.iter().map(|names| names.len()).sum::<usize>());
    Ok(())
}

#[test]
fn an_arrow_that_points_right_is_noticed() -> anyhow::Result<()> {
    let check = |name, dependency: &str| {
        wrong(name, &format!("[dependencies]\n{dependency}.workspace = true")).map(|w| w.len())
    };
    assert_eq!(check("domain", "runtime")?, 1);
    assert_eq!(check("admin", "worker")?, 1);
    assert_eq!(check("worker", "worker")?, 1);
    assert_eq!(check("gateway", "sled")?, 1);
    assert_eq!(check("gander", "gateway")?, 0);
    Ok(())
}
