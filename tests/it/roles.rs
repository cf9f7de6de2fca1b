//! Each role against each method and scope: the whole table, written down a second time here so
//! that the one in the code is not its own judge.

use std::collections::BTreeMap;

use e2e::admin::{Admin, filter, payload};
use e2e::alerts::send;
use e2e::apilog::{Parts, token_id};
use e2e::rig::Rig;
use tonic::body::Body;
use tonic::codegen::{Context, Poll, Service};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_client::CatalogServiceClient;

/// Where the thing is that a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// In the team of the caller's team roles.
    Own,
    /// In another team.
    Other,
    /// In no team: teams themselves, principals, Global tokens.
    Global,
}

/// Who may: the letters are A Global Admin, S Stakeholder, M Team Manager, R Responder, O
/// Observer, for the scopes own, other and global.
const TABLE: [(&str, [&str; 3]); 48] = [
    ("CreateTeam", ["", "", "A"]),
    ("GetTeam", ["ASMRO", "AS", ""]),
    ("ListTeams", ["", "", "ASMRO"]),
    ("UpdateTeam", ["A", "A", ""]),
    ("DeleteTeam", ["A", "A", ""]),
    ("CreateService", ["AM", "A", ""]),
    ("GetService", ["ASMRO", "AS", ""]),
    ("ListServices", ["ASMRO", "AS", "ASMRO"]),
    ("UpdateService", ["AM", "A", ""]),
    ("DeleteService", ["AM", "A", ""]),
    ("CreateMaintenance", ["AM", "A", ""]),
    ("GetMaintenance", ["ASMRO", "AS", ""]),
    ("ListMaintenance", ["ASMRO", "AS", "ASMRO"]),
    ("EndMaintenance", ["AM", "A", ""]),
    ("CreateToken", ["AM", "A", "A"]),
    ("GetToken", ["ASMRO", "AS", "AS"]),
    ("ListTokens", ["ASMRO", "AS", "ASMRO"]),
    ("UpdateToken", ["AM", "A", "A"]),
    ("ReplaceSecret", ["AM", "A", "A"]),
    ("DeleteToken", ["AM", "A", "A"]),
    ("CreatePrincipal", ["", "", "A"]),
    ("GetPrincipal", ["", "", "AS"]),
    ("ListPrincipals", ["", "", "AS"]),
    ("UpdatePrincipal", ["", "", "A"]),
    ("ReplaceCredential", ["", "", "A"]),
    ("DeletePrincipal", ["", "", "A"]),
    ("GetStatus", ["", "", "AS"]),
    ("GetIncident", ["ASMRO", "AS", ""]),
    ("ListAuditRecords", ["", "", "AS"]),
    ("GetAuditRecord", ["", "", "AS"]),
    ("ExportAuditRecords", ["", "", "AS"]),
    ("VerifyAudit", ["", "", "AS"]),
    ("GetAuditCheckpoint", ["", "", "AS"]),
    ("ListParkedRecords", ["", "", "AS"]),
    ("GetParkedRecord", ["", "", "AS"]),
    ("EvaluateParkedRecord", ["", "", "A"]),
    ("DeleteParkedRecord", ["", "", "A"]),
    ("ListApiLogEntries", ["ASMRO", "AS", "AS"]),
    ("GetApiLogEntry", ["ASMRO", "AS", "AS"]),
    ("ExplainAlert", ["ASMRO", "AS", "AS"]),
    ("TestFilter", ["ASMRO", "AS", "ASMRO"]),
    ("ListUnmatchedServices", ["ASMRO", "AS", "AS"]),
    ("TailApiLogEntries", ["ASMRO", "AS", "AS"]),
    ("ExportApiLogEntries", ["ASMRO", "AS", "AS"]),
    ("ListIncidents", ["ASMRO", "AS", "ASMRO"]),
    ("WatchIncidents", ["ASMRO", "AS", "ASMRO"]),
    ("AcknowledgeIncident", ["AMR", "A", ""]),
    ("ResolveIncident", ["AMR", "A", ""]),
];

/// Methods that name a token alone.
const BY_TOKEN: [&str; 10] = [
    "ExplainAlert",
    "GetToken",
    "UpdateToken",
    "ReplaceSecret",
    "DeleteToken",
    "ListApiLogEntries",
    "GetApiLogEntry",
    "ListUnmatchedServices",
    "TailApiLogEntries",
    "ExportApiLogEntries",
];

/// What calls are about in one scope. Things that exist and things that do not.
#[derive(Clone, Debug, Default)]
struct Things {
    team: String,
    service: String,
    window: String,
    token: String,
    target: String,
    principal: String,
    incident: String,
    entry: String,
}

impl Things {
    /// The same kinds of names, of things that were never made.
    fn absent(&self) -> Self {
        let id = e2e::admin::request_id();
        let replace = |name: &str| match name.rsplit_once('/') {
            Some((before, _)) => format!("{before}/{id}"),
            None => String::new(),
        };
        Self {
            team: self.team.clone(),
            service: replace(&self.service),
            window: replace(&self.window),
            token: replace(&self.token),
            target: self.target.clone(),
            principal: replace(&self.principal),
            incident: replace(&self.incident),
            entry: replace(&self.entry),
        }
    }
}

/// Calls a method about those things. Mutations carry an etag or content that is refused once the
/// caller is let in, so that the same things serve every caller.
async fn call(caller: &Admin, method: &str, about: &Things) -> Result<(), Status> {
    let etag = "\"999999\"".to_owned();
    let name = String::new;
    let about = about.clone();
    match method {
        "CreateTeam" | "GetTeam" | "ListTeams" | "UpdateTeam" | "DeleteTeam" => {
            teams(caller, method, about.team, etag).await
        }
        "CreateService" | "GetService" | "ListServices" | "UpdateService" | "DeleteService" => {
            services(caller, method, about, etag).await
        }
        "CreateMaintenance" | "GetMaintenance" | "ListMaintenance" | "EndMaintenance" => {
            maintenance(caller, method, about).await
        }
        "CreateToken" | "GetToken" | "ListTokens" | "UpdateToken" | "ReplaceSecret"
        | "DeleteToken" => tokens(caller, method, about, etag).await,
        "GetIncident" => caller.incident(&about.incident).await.map(drop),
        "AcknowledgeIncident" => caller.acknowledge(&about.incident).await.map(drop),
        "ListAuditRecords" | "GetAuditRecord" | "ExportAuditRecords" | "VerifyAudit"
        | "GetAuditCheckpoint" => audit(caller, method).await,
        "ListApiLogEntries"
        | "GetApiLogEntry"
        | "ExplainAlert"
        | "ListUnmatchedServices"
        | "TailApiLogEntries"
        | "ExportApiLogEntries" => api_log(caller, method, about).await,
        "ListParkedRecords" | "GetParkedRecord" | "EvaluateParkedRecord" | "DeleteParkedRecord" => {
            parked(caller, method).await
        }
        "TestFilter" => {
            let request = api::TestFilterRequest { service: about.service, ..Default::default() };
            caller.catalog().test_filter(request).await.map(drop)
        }
        "ListIncidents" => {
            let request = api::ListIncidentsRequest { parent: about.team, ..Default::default() };
            caller.incidents().list_incidents(request).await.map(drop)
        }
        "WatchIncidents" => {
            let request = api::WatchIncidentsRequest { parent: about.team, cursor: name() };
            caller.incidents().watch_incidents(request).await.map(drop)
        }
        "ResolveIncident" => {
            let request = api::ResolveIncidentRequest { name: about.incident, request_id: name() };
            caller.incidents().resolve_incident(request).await.map(drop)
        }
        "GetStatus" => caller.status().await.map(drop),
        _ => principals(caller, method, about.principal, etag).await,
    }
}

/// To the end of what is streamed: places for exports and checks are few.
async fn audit(caller: &Admin, method: &str) -> Result<(), Status> {
    let mut audit = caller.audit();
    match method {
        "ListAuditRecords" => {
            audit.list_audit_records(api::ListAuditRecordsRequest::default()).await.map(drop)
        }
        "GetAuditRecord" => {
            let name = "auditRecords/1".to_owned();
            audit.get_audit_record(api::GetAuditRecordRequest { name }).await.map(drop)
        }
        "ExportAuditRecords" => {
            let request = api::ExportAuditRecordsRequest::default();
            let mut records = audit.export_audit_records(request).await?.into_inner();
            while records.message().await?.is_some() {}
            Ok(())
        }
        "GetAuditCheckpoint" => {
            let request = api::GetAuditCheckpointRequest {};
            audit.get_audit_checkpoint(request).await.map(drop)
        }
        _ => {
            let request = api::VerifyAuditRequest::default();
            let mut answers = audit.verify_audit(request).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok(())
        }
    }
}

/// About the entries of a token, and one of them.
async fn api_log(caller: &Admin, method: &str, about: Things) -> Result<(), Status> {
    let mut log = caller.api_log();
    let Things { token, entry, .. } = about;
    let filter = Some(api::ApiLogFilter { token: token.clone(), ..Default::default() });
    match method {
        "ListApiLogEntries" => {
            let request = api::ListApiLogEntriesRequest { filter, ..Default::default() };
            log.list_api_log_entries(request).await.map(drop)
        }
        "ExplainAlert" => {
            let request = api::ExplainAlertRequest { token, ..Default::default() };
            log.explain_alert(request).await.map(drop)
        }
        "GetApiLogEntry" => {
            let request = api::GetApiLogEntryRequest { name: entry, token };
            log.get_api_log_entry(request).await.map(drop)
        }
        "ListUnmatchedServices" => {
            let request =
                api::ListUnmatchedServicesRequest { parent: entry, token, ..Default::default() };
            log.list_unmatched_services(request).await.map(drop)
        }
        "TailApiLogEntries" => {
            let request = api::TailApiLogEntriesRequest { filter, ..Default::default() };
            log.tail_api_log_entries(request).await.map(drop)
        }
        _ => {
            let request = api::ExportApiLogEntriesRequest { filter };
            let mut entries = log.export_api_log_entries(request).await?.into_inner();
            while entries.message().await?.is_some() {}
            Ok(())
        }
    }
}

/// About a record that was never parked.
async fn parked(caller: &Admin, method: &str) -> Result<(), Status> {
    let (mut parked, name) = (caller.parked(), "parkedRecords/1".to_owned());
    match method {
        "ListParkedRecords" => {
            parked.list_parked_records(api::ListParkedRecordsRequest::default()).await.map(drop)
        }
        "GetParkedRecord" => {
            parked.get_parked_record(api::GetParkedRecordRequest { name }).await.map(drop)
        }
        "EvaluateParkedRecord" => {
            parked.evaluate_parked_record(api::EvaluateParkedRecordRequest { name }).await.map(drop)
        }
        _ => parked.delete_parked_record(api::DeleteParkedRecordRequest { name }).await.map(drop),
    }
}

async fn teams(caller: &Admin, method: &str, name: String, etag: String) -> Result<(), Status> {
    let mut catalog = caller.catalog();
    let request_id = String::new();
    let team = Some(api::Team { name: name.clone(), etag: etag.clone(), ..Default::default() });
    match method {
        "CreateTeam" => {
            catalog.create_team(api::CreateTeamRequest { team, request_id }).await.map(drop)
        }
        "GetTeam" => catalog.get_team(api::GetTeamRequest { name }).await.map(drop),
        "ListTeams" => catalog.list_teams(api::ListTeamsRequest::default()).await.map(drop),
        "UpdateTeam" => {
            let request = api::UpdateTeamRequest { team, ..Default::default() };
            catalog.update_team(request).await.map(drop)
        }
        _ => {
            let request = api::DeleteTeamRequest { name, etag, request_id };
            catalog.delete_team(request).await.map(drop)
        }
    }
}

async fn services(caller: &Admin, method: &str, about: Things, etag: String) -> Result<(), Status> {
    let mut catalog = caller.catalog();
    let (name, parent, request_id) = (about.service, about.team, String::new());
    let service =
        Some(api::Service { name: name.clone(), etag: etag.clone(), ..Default::default() });
    match method {
        "CreateService" => {
            let request = api::CreateServiceRequest { parent, service, request_id };
            catalog.create_service(request).await.map(drop)
        }
        "GetService" => catalog.get_service(api::GetServiceRequest { name }).await.map(drop),
        "ListServices" => {
            let parent = if parent.is_empty() { "teams/-".to_owned() } else { parent };
            let request = api::ListServicesRequest { parent, ..Default::default() };
            catalog.list_services(request).await.map(drop)
        }
        "UpdateService" => {
            let request = api::UpdateServiceRequest { service, ..Default::default() };
            catalog.update_service(request).await.map(drop)
        }
        _ => {
            let request = api::DeleteServiceRequest { name, etag, request_id };
            catalog.delete_service(request).await.map(drop)
        }
    }
}

async fn maintenance(caller: &Admin, method: &str, about: Things) -> Result<(), Status> {
    let mut maintenance = caller.maintenance();
    let (name, request_id) = (about.window, String::new());
    match method {
        "CreateMaintenance" => {
            let request = api::CreateMaintenanceRequest {
                parent: about.service,
                maintenance_window: Some(api::MaintenanceWindow::default()),
                request_id,
            };
            maintenance.create_maintenance(request).await.map(drop)
        }
        "GetMaintenance" => {
            maintenance.get_maintenance(api::GetMaintenanceRequest { name }).await.map(drop)
        }
        "ListMaintenance" => {
            let request = api::ListMaintenanceRequest { parent: about.team, ..Default::default() };
            maintenance.list_maintenance(request).await.map(drop)
        }
        _ => {
            let request = api::EndMaintenanceRequest { name, request_id };
            maintenance.end_maintenance(request).await.map(drop)
        }
    }
}

async fn tokens(caller: &Admin, method: &str, about: Things, etag: String) -> Result<(), Status> {
    let mut tokens = caller.tokens();
    let (name, target, request_id) = (about.token, about.target, String::new());
    let kind = match target.matches('/').count() {
        0 => api::TokenType::Global,
        1 => api::TokenType::Team,
        _ => api::TokenType::Service,
    };
    let token = api::Token {
        name: name.clone(),
        r#type: kind.into(),
        target: target.clone(),
        etag: etag.clone(),
        ..Default::default()
    };
    match method {
        "CreateToken" => {
            let request = api::CreateTokenRequest { token: Some(token), request_id };
            tokens.create_token(request).await.map(drop)
        }
        "GetToken" => tokens.get_token(api::GetTokenRequest { name }).await.map(drop),
        "ListTokens" => {
            let request = api::ListTokensRequest { target, ..Default::default() };
            tokens.list_tokens(request).await.map(drop)
        }
        "UpdateToken" => {
            let request = api::UpdateTokenRequest { token: Some(token), ..Default::default() };
            tokens.update_token(request).await.map(drop)
        }
        "ReplaceSecret" => {
            let request = api::ReplaceSecretRequest { name, etag, request_id };
            tokens.replace_secret(request).await.map(drop)
        }
        _ => {
            let request = api::DeleteTokenRequest { name, etag, request_id };
            tokens.delete_token(request).await.map(drop)
        }
    }
}

async fn principals(
    caller: &Admin,
    method: &str,
    name: String,
    etag: String,
) -> Result<(), Status> {
    let mut principals = caller.principals();
    let request_id = String::new();
    let principal =
        Some(api::Principal { name: name.clone(), etag: etag.clone(), ..Default::default() });
    match method {
        "CreatePrincipal" => {
            let request = api::CreatePrincipalRequest { principal, request_id };
            principals.create_principal(request).await.map(drop)
        }
        "GetPrincipal" => {
            principals.get_principal(api::GetPrincipalRequest { name }).await.map(drop)
        }
        "ListPrincipals" => {
            principals.list_principals(api::ListPrincipalsRequest::default()).await.map(drop)
        }
        "UpdatePrincipal" => {
            let request = api::UpdatePrincipalRequest { principal, ..Default::default() };
            principals.update_principal(request).await.map(drop)
        }
        "ReplaceCredential" => {
            let request = api::ReplaceCredentialRequest { name, etag, request_id };
            principals.replace_credential(request).await.map(drop)
        }
        "DeletePrincipal" => {
            let request = api::DeletePrincipalRequest { name, etag, request_id };
            principals.delete_principal(request).await.map(drop)
        }
        other => panic!("the test does not know {other}"),
    }
}

struct Stage {
    rig: Rig,
    callers: BTreeMap<char, Admin>,
    nobody: Vec<Admin>,
    things: [(Scope, Things); 3],
}

async fn stage() -> anyhow::Result<Stage> {
    let mut rig = Rig::start().await?;
    let bootstrap = std::fs::read_to_string(rig.folder().join("data/bootstrap-credential"))?;
    let admin = rig.first_admin().await?;
    let everything = admin.token("everything", "").await?;
    let mut things = Vec::new();
    for scope in ["own", "other"] {
        let team = admin.team(scope).await?;
        let service = admin.service(&team, "one", vec![filter("status")]).await?;
        let token = admin.token("of the service", &service.name).await?;
        let window = admin.window(&service, Some(600), &[]).await?;
        things.push(Things {
            team: team.name,
            token: token.name,
            target: service.name.clone(),
            service: service.name,
            window: window.name,
            ..Things::default()
        });
    }
    let gateway = rig.gateway()?;
    send(gateway, &everything.secret, payload("firing", "a")).await?;
    for incident in admin.open_incidents().await? {
        let owner = things.iter_mut().find(|things| incident.name.starts_with(&things.service));
        owner.expect("an incident of one of the two").incident = incident.name;
    }
    let mut callers = BTreeMap::from([('A', admin.clone())]);
    let own = things[0].team.clone();
    for (letter, role) in [
        ('S', "stakeholder".to_owned()),
        ('M', format!("team-manager:{own}")),
        ('R', format!("responder:{own}")),
        ('O', format!("observer:{own}")),
    ] {
        let made = admin.principal(&role, &[&role]).await?;
        callers.insert(letter, Admin::connect(rig.grpc(), &made.credential).await?);
    }
    let parts = Parts::connect(&rig.nats_url()).await?;
    for things in &mut things {
        let entry = parts.entry(token_id(&things.token), &things.target, vec![]).await?;
        things.entry = format!("apiLogEntries/{entry}");
    }
    let entry = parts.entry(token_id(&everything.name), "", vec![]).await?;
    let entry = format!("apiLogEntries/{entry}");
    let other = admin.principal("somebody else", &["stakeholder"]).await?;
    let principal = other.name;
    let global = Things { token: everything.name, principal, entry, ..Things::default() };
    let other = things.remove(1);
    let mut nobody = Vec::new();
    for credential in ["", "gdp_wrong", bootstrap.trim(), &everything.secret] {
        nobody.push(Admin::connect(rig.grpc(), credential).await?);
    }
    let things = [(Scope::Own, things.remove(0)), (Scope::Other, other), (Scope::Global, global)];
    Ok(Stage { rig, callers, nobody, things })
}

#[tokio::test]
async fn every_role_may_call_what_the_table_says_and_nothing_else() -> anyhow::Result<()> {
    let stage = stage().await?;
    let mut checked = 0;
    for (method, row) in TABLE {
        for ((scope, things), here) in stage.things.iter().zip(row) {
            if here.is_empty() {
                continue;
            }
            // Nobody can tell in which team a token would be that does not exist.
            let nowhere = if BY_TOKEN.contains(&method) { row[2] } else { here };
            for (letter, caller) in &stage.callers {
                for (about, allowed) in [(things, here), (&things.absent(), nowhere)] {
                    let code = call(caller, method, about).await.err().map(|status| status.code());
                    let refused = code == Some(Code::PermissionDenied);
                    let case = format!("{letter} {method} {scope:?}: {code:?}");
                    assert_eq!(refused, !allowed.contains(*letter), "{case}");
                    assert_ne!(code, Some(Code::Unauthenticated), "{case}");
                    assert_ne!(code, Some(Code::Internal), "{case}");
                    checked += 1;
                }
            }
            for caller in &stage.nobody {
                let code = call(caller, method, things).await.err().map(|status| status.code());
                assert_eq!(code, Some(Code::Unauthenticated), "{method} {scope:?}");
            }
        }
    }
    assert!(checked > 400, "{checked} cases");
    drop(stage.rig);
    Ok(())
}

#[tokio::test]
async fn an_incident_by_id_alone_is_shown_to_who_may_read_it() -> anyhow::Result<()> {
    let stage = stage().await?;
    for (letter, caller) in &stage.callers {
        for (scope, things) in stage.things.iter().take(2) {
            let id = things.incident.rsplit('/').next().unwrap_or_default();
            let found = caller.incident(&format!("teams/-/services/-/incidents/{id}")).await;
            let may = "AS".contains(*letter) || *scope == Scope::Own;
            let expected = may.then_some(things.incident.as_str());
            assert_eq!(found.as_ref().ok().map(|found| found.name.as_str()), expected, "{letter}");
            if let Err(status) = found {
                assert_eq!(status.code(), Code::PermissionDenied, "{letter}");
            }
        }
        // What does not exist looks the same as what may not be read.
        let absent = format!("teams/-/services/-/incidents/{}", e2e::admin::request_id());
        let code = caller.incident(&absent).await.err().map(|status| status.code());
        let expected = if "AS".contains(*letter) { Code::NotFound } else { Code::PermissionDenied };
        assert_eq!(code, Some(expected), "{letter}");
    }
    Ok(())
}

#[tokio::test]
async fn everybody_may_read_themselves() -> anyhow::Result<()> {
    let stage = stage().await?;
    for caller in stage.callers.values() {
        let request = api::GetPrincipalRequest { name: "principals/me".to_owned() };
        caller.principals().get_principal(request).await?;
    }
    Ok(())
}

#[tokio::test]
async fn lists_show_what_the_caller_may_read() -> anyhow::Result<()> {
    let stage = stage().await?;
    for (letter, caller) in &stage.callers {
        let everything = "AS".contains(*letter);
        let teams = caller.catalog().list_teams(api::ListTeamsRequest::default()).await?;
        assert_eq!(teams.into_inner().teams.len(), if everything { 2 } else { 1 }, "{letter}");
        let tokens = caller.tokens().list_tokens(api::ListTokensRequest::default()).await?;
        assert_eq!(tokens.into_inner().tokens.len(), if everything { 3 } else { 1 }, "{letter}");
        let windows = api::ListMaintenanceRequest::default();
        let windows = caller.maintenance().list_maintenance(windows).await?.into_inner();
        let expected = if everything { 2 } else { 1 };
        assert_eq!(windows.maintenance_windows.len(), expected, "{letter}");
        assert_eq!(
            caller.open_incidents().await?.len(),
            if everything { 2 } else { 1 },
            "{letter}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_bootstrap_credential_makes_one_global_admin_and_is_dead() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let file = rig.folder().join("data/bootstrap-credential");
    let bootstrap = Admin::connect(rig.grpc(), std::fs::read_to_string(file)?.trim()).await?;
    assert!(bootstrap.team("too early").await.is_err());
    assert!(bootstrap.principal("too little", &["stakeholder"]).await.is_err());
    bootstrap.principal("first", &["global-admin"]).await?;
    assert!(bootstrap.principal("second", &["global-admin"]).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_team_manager_may_repeat_what_has_deleted_a_token() -> anyhow::Result<()> {
    let stage = stage().await?;
    let request = api::DeleteTokenRequest {
        name: stage.things[0].1.token.clone(),
        request_id: e2e::admin::request_id(),
        ..Default::default()
    };
    for _ in 0..2 {
        stage.callers[&'M'].tokens().delete_token(request.clone()).await?;
        let other = stage.callers[&'O'].tokens().delete_token(request.clone()).await;
        assert_eq!(other.err().map(|status| status.code()), Some(Code::PermissionDenied));
    }
    Ok(())
}

#[tokio::test]
async fn who_has_lost_every_credential_recovers_on_the_host() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let data = rig.folder().join("data").display().to_string();
    let recover = ["admin", "recover", "--data", &data];
    let (code, text) = e2e::process::run(rig.folder(), None, &recover).await?;
    assert!(code == 1 && text.contains("stop it first"), "{text}");
    let (code, text) =
        e2e::process::run(rig.folder(), None, &["admin", "recover", "--data", "nowhere"]).await?;
    assert!(code == 1 && text.contains("no journal"), "{text}");
    rig.first_admin().await?;
    rig.kill(e2e::rig::Role::Admin).await?;
    // Also where the journal is older than the stream.
    std::fs::remove_dir_all(rig.journal())?;
    std::fs::create_dir(rig.journal())?;
    let (code, text) = e2e::process::run(rig.folder(), None, &recover).await?;
    assert_eq!(code, 0, "{text}");
    rig.restart(e2e::rig::Role::Admin).await?;
    let file = rig.folder().join("data/bootstrap-credential");
    let bootstrap = Admin::connect(rig.grpc(), std::fs::read_to_string(&file)?.trim()).await?;
    let again = bootstrap.principal("again", &["global-admin"]).await?.credential;
    let again = Admin::connect(rig.grpc(), &again).await?;
    assert_eq!(
        again
            .principals()
            .list_principals(Request::new(Default::default()))
            .await?
            .into_inner()
            .principals
            .len(),
        2
    );
    rig.kill(e2e::rig::Role::Admin).await?;
    rig.restart(e2e::rig::Role::Admin).await?;
    assert!(!file.exists(), "one wish, one credential");
    Ok(())
}

/// Sends every call to `CreateTeam`.
#[derive(Clone)]
struct Misled(Channel);

impl Service<http::Request<Body>> for Misled {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let uri = request.uri().to_string().replace("ListTeams", "CreateTeam");
        *request.uri_mut() = uri.parse().expect("one method is as good as another");
        self.0.call(request)
    }
}

#[tokio::test]
async fn what_is_no_message_is_internal_to_whoever_has_a_credential() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let reader = admin.principal("s", &["stakeholder"]).await?.credential;
    for (credential, code) in [
        (admin.credential.as_str(), Code::Internal),
        (&reader, Code::Internal),
        ("nobody's", Code::Unauthenticated),
    ] {
        let channel = Endpoint::from_shared(format!("http://{}", rig.grpc()))?.connect().await?;
        let mut request =
            Request::new(api::ListTeamsRequest { page_size: 1, ..Default::default() });
        request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse()?);
        let refused = CatalogServiceClient::new(Misled(channel)).list_teams(request).await.err();
        assert_eq!(refused.map(|status| status.code()), Some(code), "{credential}");
    }
    Ok(())
}

#[tokio::test]
async fn a_role_is_in_a_team_that_is_there() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("team").await?;
    let role = format!("observer:{}", team.name);
    let made = admin.principal("o", &[&role]).await?;
    let delete = api::DeleteTeamRequest { name: team.name.clone(), ..Default::default() };
    admin.catalog().delete_team(delete).await?;
    let refused = admin.principal("late", &[&role]).await.err();
    let refused = refused.and_then(|error| Some(error.downcast_ref::<Status>()?.code()));
    assert_eq!(refused, Some(Code::NotFound));
    // What it has stays, so that what was read can be sent back.
    let same = api::Principal { display_name: "p".to_owned(), credential: String::new(), ..made };
    let update = api::UpdatePrincipalRequest { principal: Some(same), ..Default::default() };
    assert_eq!(admin.principals().update_principal(update).await?.into_inner().display_name, "p");
    Ok(())
}

#[tokio::test]
async fn the_last_global_admin_stays() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let me = api::GetPrincipalRequest { name: "principals/me".to_owned() };
    let me = admin.principals().get_principal(me).await?.into_inner();
    let delete = api::DeletePrincipalRequest { name: me.name.clone(), ..Default::default() };
    let refused = admin.principals().delete_principal(delete.clone()).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(Code::FailedPrecondition));
    let demoted = api::Principal {
        name: me.name,
        roles: vec![api::RoleGrant { role: api::Role::Stakeholder.into(), team: String::new() }],
        ..Default::default()
    };
    let update = api::UpdatePrincipalRequest { principal: Some(demoted), ..Default::default() };
    let refused = admin.principals().update_principal(update).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(Code::FailedPrecondition));
    admin.principal("second", &["global-admin"]).await?;
    admin.principals().delete_principal(delete).await?;
    let dead = admin.principals().list_principals(Request::new(Default::default())).await;
    assert_eq!(dead.err().map(|status| status.code()), Some(Code::Unauthenticated));
    Ok(())
}
