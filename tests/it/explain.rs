//! What alerts would come to: filters tried on payloads, alerts explained by the owners of the
//! partitions, recorded calls replayed; all of it without any effect.

use std::path::Path;

use e2e::admin::{Admin, filter, payload, request_id};
use e2e::alerts::send;
use e2e::events::{incident_events, stored};
use e2e::process::run;
use e2e::rig::{Rig, Role};
use e2e::wait::eventually;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tonic::{Code, Status};
use wire::proto::gander::admin::v1 as api;

struct Stage {
    rig: Rig,
    admin: Admin,
    service: api::Service,
    token: api::Token,
}

async fn stage() -> anyhow::Result<Stage> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let token = api::Token {
        display_name: "monitor".to_owned(),
        r#type: api::TokenType::Team.into(),
        target: team.name.clone(),
        tracking: Some(true),
        ..api::Token::default()
    };
    let request = api::CreateTokenRequest { token: Some(token), request_id: request_id() };
    let token = admin.tokens().create_token(request).await?.into_inner();
    Ok(Stage { rig, admin, service, token })
}

impl Stage {
    async fn explain(&self, payload: String) -> Result<api::ApiLogEntry, Status> {
        let (token, payload) = (self.token.name.clone(), payload.into());
        let request = api::ExplainAlertRequest { token, payload, from: "test".to_owned() };
        Ok(self.admin.api_log().explain_alert(request).await?.into_inner())
    }

    async fn try_on(&self, payload: String) -> Result<api::TestFilterResponse, Status> {
        let (service, payload) = (self.service.name.clone(), payload.into());
        let request =
            api::TestFilterRequest { service, payload, from: "test".to_owned(), filters: vec![] };
        Ok(self.admin.catalog().test_filter(request).await?.into_inner())
    }

    async fn says(&mut self, status: &str, key: &str) -> anyhow::Result<String> {
        let answer = send(self.rig.gateway()?, &self.token.secret, payload(status, key)).await?;
        Ok(answer.id().to_owned())
    }

    /// A command line of `gander` in the folder of the rig.
    async fn gander(&self, line: &str) -> anyhow::Result<(i32, String)> {
        let credential = self.rig.folder().join("credential");
        if !credential.exists() {
            runtime::secret_file::write(&credential, &self.admin.credential)?;
        }
        let server = format!("http://{}", self.rig.grpc());
        let common = ["--server", &server, "--credential-file", "credential"];
        let args: Vec<_> = line.split_whitespace().chain(common).collect();
        run(self.rig.folder(), None, &args).await
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.rig.folder().join(Path::new(file)), text)?)
    }
}

fn trigger(entry: &api::ApiLogEntry) -> api::TriggerVerdict {
    entry.services.first().map_or(api::TriggerVerdict::Unspecified, |one| one.trigger())
}

#[tokio::test]
async fn an_alert_is_explained_with_what_is_open_and_in_maintenance_and_nothing_happens()
-> anyhow::Result<()> {
    let mut stage = stage().await?;
    let explained = stage.explain(payload("firing", "a")).await?;
    assert_eq!(
        (trigger(&explained), explained.missing.clone()),
        (api::TriggerVerdict::Created, None)
    );
    assert_eq!(explained.outcome(), api::ApiLogOutcome::Created);
    assert_eq!(explained.services[0].triggered_incident, "", "it would have another id");
    assert!(incident_events(&stage.rig.nats_url()).await?.is_empty(), "nothing happened");
    assert!(stored(&stage.rig.nats_url(), "GANDER_APILOG", "gander.apilog.*").await?.is_empty());

    stage.says("firing", "a").await?;
    let open = stage.admin.open_incidents().await?.remove(0);
    let explained = stage.explain(payload("firing", "a")).await?;
    assert_eq!(trigger(&explained), api::TriggerVerdict::Duplicate);
    assert_eq!(explained.services[0].triggered_incident, open.name);
    let explained = stage.explain(payload("resolved", "a")).await?;
    assert_eq!(explained.outcome(), api::ApiLogOutcome::Resolved);
    assert_eq!(explained.services[0].resolved_incident, open.name);
    let explained = stage.explain("{}".to_owned()).await?;
    assert_eq!(explained.outcome(), api::ApiLogOutcome::Unmatched);
    assert_eq!(explained.services[0].filters[0].conditions[0].missing, "");
    assert_eq!(explained.services[0].filters[0].conditions[0].values, 0);

    stage.admin.window(&stage.service, None, &[]).await?;
    let tried = stage.try_on(payload("firing", "b")).await?;
    assert_eq!(tried.reasons.unwrap_or_default().trigger(), api::TriggerVerdict::Suppressed);
    let tried = stage.try_on("{}".to_owned()).await?.reasons.unwrap_or_default();
    assert_eq!(tried.maintenance_windows.len(), 1, "as the log has it, whatever matches");
    assert_eq!(tried.trigger(), api::TriggerVerdict::Unspecified);
    // The worker follows the configuration a moment later than admin.
    eventually("the window to be known", async || {
        let explained = stage.explain(payload("firing", "b")).await.ok()?;
        (explained.outcome() == api::ApiLogOutcome::Suppressed).then_some(())
    })
    .await?;

    stage.rig.kill(Role::Worker(0)).await?;
    let missing = stage.explain(payload("firing", "c")).await?;
    assert_eq!(missing.missing.map_or(0, |missing| missing.partitions.len()), 1);
    let request = api::ExplainAlertRequest {
        token: format!("tokens/{}", request_id()),
        ..Default::default()
    };
    let unknown = stage.admin.api_log().explain_alert(request).await;
    assert_eq!(unknown.err().map(|status| status.code()), Some(Code::NotFound));
    Ok(())
}

/// Payloads that filters may or may not match.
fn payloads() -> impl Strategy<Value = String> {
    let word = prop_oneof!["firing", "resolved", "FIRING now", "other", "\u{17f}"];
    let key = prop_oneof!["a", "b", ""];
    prop_oneof![
        (word.clone(), key).prop_map(|(status, key)| payload(&status, &key)),
        word.clone().prop_map(|word| format!("no JSON, {word}")),
        word.prop_map(|word| serde_json::json!({"status": [word, {"x": 1}]}).to_string()),
        Just("{\"status\": \"firing\", \"key\": null}".to_owned()),
    ]
}

#[tokio::test]
async fn what_is_tried_and_explained_is_what_happens() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..40 {
        let text = payloads().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
        let tried = stage.try_on(text.clone()).await?;
        let explained = stage.explain(text.clone()).await?;
        let answer = send(stage.rig.gateway()?, &stage.token.secret, text.clone()).await?;
        let said = &explained.services[0];
        let happened = (
            &answer.body["triggered"]["created"] == true,
            &answer.body["triggered"]["duplicate"] == true,
            &answer.body["resolved"]["resolved"] == true,
        );
        let would = (
            said.trigger() == api::TriggerVerdict::Created,
            said.trigger() == api::TriggerVerdict::Duplicate,
            said.resolve() == api::ResolveVerdict::Resolved,
        );
        assert_eq!(would, happened, "{text}");
        let reasons = tried.reasons.unwrap_or_default();
        assert_eq!(reasons.filters, said.filters, "{text}");
        let triggers = reasons.trigger() == api::TriggerVerdict::Created;
        assert_eq!(triggers, happened.0 || happened.1, "{text}");
        let opened = stage.admin.open_incidents().await?;
        if happened.0 {
            assert!(opened.iter().any(|incident| incident.title == tried.title), "{text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_script_tests_filters_by_exit_codes() -> anyhow::Result<()> {
    let stage = stage().await?;
    stage.write("firing.json", &payload("firing", "a"))?;
    stage.write("other.json", "{\"status\": \"warning\"}")?;
    let test = "filter test Payments/Checkout --payload";
    for (line, code, says) in [
        (format!("{test} firing.json"), 0, "trigger holds"),
        (format!("{test} other.json"), 1, "\"firing\" is missing"),
        (format!("{test} other.json --expect nothing"), 0, "nothing matched"),
        (format!("{test} firing.json --expect resolves"), 1, "expected resolves, but it triggers"),
        (format!("{test} nowhere.json"), 1, "cannot read nowhere.json"),
        ("filter test Payments/Checkout".to_owned(), 2, "--payload"),
        ("filter test --payload firing.json".to_owned(), 2, "--filters"),
    ] {
        let (found, text) = stage.gander(&line).await?;
        assert!(found == code && text.contains(says), "{line}: {found} {text}");
    }
    let (_, filters) = stage.gander("filter list Payments/Checkout --output json").await?;
    stage.write("proposed.json", &filters.replace("firing", "warning"))?;
    let proposed = "filter test --filters proposed.json --payload other.json --expect triggers";
    let (code, text) = stage.gander(proposed).await?;
    assert!(code == 0 && text.contains("these filters"), "{code} {text}");
    stage.write(
        "filters.test.toml",
        "service = \"Payments/Checkout\"\n\
         [[case]]\npayload = \"firing.json\"\nexpect = \"triggers\"\nfilter = \"status\"\n\
         mapped_value = \"a\"\ntitle = \"trouble a\"\n\
         [[case]]\nname = \"a warning\"\npayload = \"other.json\"\nexpect = \"nothing\"\n\
         [[case]]\ntext = '{\"status\": \"resolved\", \"key\": \"a\"}'\nexpect = \"resolves\"\n",
    )?;
    let (code, text) = stage.gander("filter test --file filters.test.toml").await?;
    assert!(code == 0 && text.contains("all 3 cases are as expected"), "{code} {text}");
    let against = "filter test --file filters.test.toml --filters proposed.json";
    let (code, text) = stage.gander(against).await?;
    assert!(code == 1 && text.contains("FAIL  a warning: expected nothing"), "{code} {text}");
    assert!(text.contains("2 of 3 cases are not as expected"), "{text}");
    stage.write("wrong.toml", "[[case]]\nexpect = \"perhaps\"\n")?;
    let (code, text) = stage.gander("filter test --file wrong.toml").await?;
    assert!(code == 1 && text.contains("wrong.toml"), "{code} {text}");
    Ok(())
}

#[tokio::test]
async fn recorded_calls_are_replayed_with_the_filters_of_now() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let id = stage.says("firing", "a").await?;
    eventually("the entry", async || {
        let (code, text) = stage.gander(&format!("log get {id}")).await.ok()?;
        (code == 0 && !text.contains("not all is there")).then_some(())
    })
    .await?;
    let (code, text) = stage.gander(&format!("log replay {id}")).await?;
    assert!(code == 0 && text.contains("the same"), "it is open now, but filters say so: {text}");
    let mut filter = stage.service.filters[0].clone();
    let trigger = filter.trigger.get_or_insert_default();
    trigger.conditions[0].contains = vec!["critical".to_owned()];
    let changed =
        api::Service { filters: vec![filter], etag: String::new(), ..stage.service.clone() };
    stage.admin.update_service(changed, "filters").await?;
    eventually("the worker to know the filter", async || {
        let (_, text) = stage.gander(&format!("log replay {id}")).await.ok()?;
        text.contains("Payments/Checkout: triggered by \"status\" then, nothing now").then_some(())
    })
    .await?;
    let events = incident_events(&stage.rig.nats_url()).await?;
    assert_eq!(events.len(), 1, "replaying has no effect");
    stage.write("alert.json", &payload("critical", "b"))?;
    let (code, text) = stage.gander("log explain --token monitor alert.json").await?;
    assert!(code == 0 && text.contains("It would be: created"), "{code} {text}");
    Ok(())
}
