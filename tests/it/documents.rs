//! What Gander says of itself in documents is what it does: OpenAPI against a running gateway,
//! AsyncAPI against events that were read.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use e2e::admin::{filter, payload};
use e2e::alerts::{get, send};
use e2e::contract::{self, json};
use e2e::events::stored;
use e2e::rig::{Plan, Rig};
use e2e::tools::{output, python, tool};
use serde_json::Value;

/// What schemathesis looks at: that nothing is answered which the document does not describe. A
/// 503 is described; on a busy machine it may come, so it is no failure in itself.
const CHECKS: &str = "status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    allow_header_conformance";
/// Requests made up for each operation, beside those that follow from the document.
const EXAMPLES: &str = "20";

/// Runs schemathesis on a document, with a token or without; gives what it says.
async fn schemathesis(
    folder: &Path,
    document: &str,
    args: &[&str],
    token: Option<&str>,
) -> anyhow::Result<String> {
    let mut command = python(folder)?;
    command.arg(tool("python/bin/schemathesis")?).args(["run", document, "--no-color"]);
    // How fast it makes requests is a matter of the machine.
    command.arg("--suppress-health-check=too_slow");
    command.args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--generation-deterministic"]);
    command.args(["--warnings", "off", "--continue-on-failure"]).args(args);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    output(&mut command).await
}

async fn stage(plan: Plan) -> anyhow::Result<(Rig, SocketAddr, String)> {
    let mut rig = Rig::planned(plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = admin.token("monitor", "").await?.secret;
    let gateway = rig.gateway()?;
    Ok((rig, gateway, token))
}

#[tokio::test]
async fn nothing_is_answered_that_the_document_does_not_describe() -> anyhow::Result<()> {
    let (rig, gateway, token) = stage(Plan::default()).await?;
    let (folder, url) = (rig.folder(), format!("http://{gateway}/openapi.json"));
    let all = ["--phases", "examples,coverage,fuzzing"];
    let (with, without) = tokio::join!(
        schemathesis(folder, &url, &all, Some(&token)),
        schemathesis(folder, &url, &["--phases", "examples,fuzzing"], None),
    );
    println!("{}\n{}", with?, without?);

    // The judge notices what is not described.
    let (_, served) = get(gateway, "/openapi.json").await?;
    let mut forgetful: Value = serde_json::from_str(&served)?;
    let answers = &mut forgetful["paths"]["/livez"]["get"]["responses"];
    answers.as_object_mut().context("answers")?.remove("200");
    let file = folder.join("forgetful.json");
    std::fs::write(&file, forgetful.to_string())?;
    let base = format!("http://{gateway}");
    let args = ["--url", &base, "--include-path", "/livez", "--phases", "fuzzing"];
    let failed = schemathesis(folder, &file.display().to_string(), &args, None).await.unwrap_err();
    assert!(failed.to_string().contains("Undocumented status code"), "{failed}");
    Ok(())
}

#[tokio::test]
async fn the_copy_in_docs_is_what_a_gateway_serves() -> anyhow::Result<()> {
    let args = ["--path-prefix", "/gander"].map(str::to_owned).to_vec();
    let (_rig, gateway, _) =
        stage(Plan { gateways: 1, gateway_args: args, ..Plan::default() }).await?;
    let (status, served) = get(gateway, "/openapi.json").await?;
    assert_eq!((status.as_u16(), &served), (200, &get(gateway, "/gander/openapi.json").await?.1));
    let served: Value = serde_json::from_str(&served).context("JSON")?;
    assert!(served["paths"]["/gander/v1/process"]["post"].is_object());
    let copy = json("docs/openapi.json")?;
    assert_eq!(served["components"], copy["components"]);
    assert_eq!(served["paths"]["/livez"], copy["paths"]["/livez"]);
    Ok(())
}

#[test]
fn the_asyncapi_document_is_one_by_the_schema_of_asyncapi() -> anyhow::Result<()> {
    let document = json(contract::DOCUMENT)?;
    let schema = jsonschema::validator_for(&json("tests/schemas/asyncapi-3.0.0.json")?)?;
    let wrong: Vec<_> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let mut misspelled = document;
    misspelled["channels"]["created"]["adress"] = "gander".into();
    assert!(!schema.is_valid(&misspelled));
    Ok(())
}

#[tokio::test]
async fn events_are_as_the_asyncapi_document_promises() -> anyhow::Result<()> {
    let (rig, gateway, token) = stage(Plan::default()).await?;
    for status in ["firing", "firing", "resolved"] {
        send(gateway, &token, payload(status, "größe")).await?;
    }
    let events = stored(&rig.nats_url(), "GANDER_INCIDENTS", "gander.incidents.>").await?;
    let subjects: Vec<_> = events.iter().filter_map(|e| e.subject.split('.').nth(2)).collect();
    assert_eq!(subjects, ["created", "repeated", "resolved"]);
    for event in &events {
        assert_eq!(contract::violations(event), Vec::<String>::new());
    }

    // The judge notices each kind of break.
    let broken = |spoil: &dyn Fn(&mut e2e::events::Stored)| {
        let mut event = events[0].clone();
        spoil(&mut event);
        contract::violations(&event)
    };
    assert_eq!(broken(&|event| event.subject.push('x')).len(), 1);
    assert_eq!(broken(&|event| event.subject = "gander.incidents.lost.a.b".to_owned()).len(), 1);
    assert_eq!(broken(&|event| event.payload = "{}".into()).len(), 8);
    assert_eq!(broken(&|event| event.payload = events[2].payload.clone()).len(), 2);
    assert_eq!(broken(&|event| drop(event.headers.remove("ce-id"))).len(), 1);
    assert_eq!(broken(&|event| drop(event.headers.remove("gander-incident"))).len(), 2);
    Ok(())
}
