//! `gander principal`.
//!
//! Must not know what roles permit.

use std::path::{Path, PathBuf};

use runtime::clock::SystemClock;
use runtime::secret_file::Place;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::principal_service_client::PrincipalServiceClient;

use super::commands::PrincipalCommand;
use super::names::Labels;
use super::{
    Authorized, Connect, Output, Usage, default_credential_file, deleted, keep, mask, names,
    prepare, read_secret, request_id, show_secret, shown_expiry, shown_time,
};

/// Carries it out.
pub async fn run(connect: &Connect, command: &PrincipalCommand) -> anyhow::Result<()> {
    if let PrincipalCommand::Create { .. } = command {
        return create(connect, command).await;
    }
    let channel = connect.open().await?;
    let mut client = PrincipalServiceClient::new(channel.clone());
    match command {
        PrincipalCommand::Create { .. } => Ok(()),
        PrincipalCommand::Get { principal } => {
            let found = names::principal(&channel, principal).await?;
            show(connect, &channel, &[found]).await
        }
        PrincipalCommand::List => {
            show(connect, &channel, &names::principals(&channel).await?).await
        }
        PrincipalCommand::Update { principal, name, roles, expires } => {
            let update_mask = mask(&[
                ("display_name", name.is_some()),
                ("roles", !roles.is_empty()),
                ("expire_time", expires.is_some()),
            ])?;
            name.as_deref().map_or(Ok(()), check_name)?;
            let old = names::principal(&channel, principal).await?;
            let principal = api::Principal {
                display_name: name.clone().unwrap_or_default(),
                roles: grants(&channel, roles).await?,
                expire_time: expires.and_then(|when| when.to_proto(&SystemClock)),
                ..old
            };
            let (principal, request_id) = (Some(principal), request_id());
            let request = api::UpdatePrincipalRequest { principal, update_mask, request_id };
            let done = client.update_principal(request).await?.into_inner();
            show(connect, &channel, &[done]).await
        }
        PrincipalCommand::ReplaceCredential { principal, secret_file } => {
            let place = prepare(secret_file.as_deref(), true)?;
            let old = names::principal(&channel, principal).await?;
            let (name, etag) = (old.name, old.etag);
            let request = api::ReplaceCredentialRequest { name, etag, request_id: request_id() };
            let made = client.replace_credential(request).await?.into_inner();
            show_made(connect, &channel, made, place).await
        }
        PrincipalCommand::Delete { principal } => delete(connect, &channel, principal).await,
    }
}

async fn create(connect: &Connect, command: &PrincipalCommand) -> anyhow::Result<()> {
    let PrincipalCommand::Create { name, roles, expires, secret_file, bootstrap_file } = command
    else {
        return Ok(());
    };
    check_name(name)?;
    let kept = kept_in(connect, secret_file.as_ref(), bootstrap_file.is_some())?;
    let place = prepare(kept.as_deref(), false)?;
    let channel = match bootstrap_file {
        Some(file) => connect.open_with(&read_secret(file)?).await?,
        None => connect.open().await?,
    };
    let principal = api::Principal {
        display_name: name.clone(),
        roles: grants(&channel, roles).await?,
        expire_time: expires.to_proto(&SystemClock),
        ..api::Principal::default()
    };
    let (principal, request_id) = (Some(principal), request_id());
    let request = api::CreatePrincipalRequest { principal, request_id };
    let made = PrincipalServiceClient::new(channel.clone()).create_principal(request).await?;
    show_made(connect, &channel, made.into_inner(), place).await
}

async fn delete(connect: &Connect, channel: &Authorized, principal: &str) -> anyhow::Result<()> {
    let old = names::principal(channel, principal).await?;
    let (name, etag) = (old.name.clone(), old.etag.clone());
    let request = api::DeletePrincipalRequest { name, etag, request_id: request_id() };
    PrincipalServiceClient::new(channel.clone()).delete_principal(request).await?;
    deleted(connect.output, &old, &format!("principal {:?}", old.display_name))
}

/// One of that name could not be named.
fn check_name(name: &str) -> anyhow::Result<()> {
    match name {
        names::ME => Err(Usage("`me` is whoever asks: choose another name").into()),
        _ => Ok(()),
    }
}

/// Where a fresh credential is kept: where it is said, or the first one where client commands
/// look for it.
fn kept_in(
    connect: &Connect,
    secret_file: Option<&PathBuf>,
    first: bool,
) -> anyhow::Result<Option<PathBuf>> {
    if !first || secret_file.is_some() {
        return Ok(secret_file.cloned());
    }
    let Some(file) = connect.credential_file.clone() else {
        let file = default_credential_file()?;
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        return Ok(Some(file));
    };
    if file == Path::new("-") {
        return Err(Usage("--credential-file - cannot keep the new credential").into());
    }
    Ok(Some(file))
}

async fn grants(channel: &Authorized, roles: &[String]) -> anyhow::Result<Vec<api::RoleGrant>> {
    let mut grants = Vec::new();
    for text in roles {
        let (role, team) = text.split_once(':').unwrap_or((text, ""));
        let role = match role {
            "global-admin" => api::Role::GlobalAdmin,
            "stakeholder" => api::Role::Stakeholder,
            "team-manager" => api::Role::TeamManager,
            "responder" => api::Role::Responder,
            "observer" => api::Role::Observer,
            _ => {
                let rule = "a role is global-admin, stakeholder, team-manager:TEAM, responder:TEAM or observer:TEAM";
                return Err(Usage(rule).into());
            }
        };
        let global = matches!(role, api::Role::GlobalAdmin | api::Role::Stakeholder);
        let team = match team {
            "" if !global => return Err(Usage("say of which team: such as observer:TEAM").into()),
            "" => String::new(),
            _ if global => return Err(Usage("global-admin and stakeholder take no team").into()),
            team => names::team(channel, team).await?.name,
        };
        grants.push(api::RoleGrant { role: role.into(), team });
    }
    Ok(grants)
}

async fn show_made(
    connect: &Connect,
    channel: &Authorized,
    principal: api::Principal,
    place: Option<Place>,
) -> anyhow::Result<()> {
    let credential = principal.credential.clone();
    match (connect.output, keep(place, &credential)?) {
        (Output::Json, None) => show(connect, channel, &[principal]).await?,
        (_, kept) => {
            let shown = api::Principal { credential: String::new(), ..principal };
            show(connect, channel, &[shown]).await?;
            show_secret(&credential, kept.as_deref());
        }
    }
    Ok(())
}

async fn show(
    connect: &Connect,
    channel: &Authorized,
    principals: &[api::Principal],
) -> anyhow::Result<()> {
    // A credential that was made must be shown whatever happens to its team's name.
    let labels = Labels::read(channel).await.unwrap_or_default();
    let head = ["PRINCIPAL", "NAME", "ROLES", "CREDENTIAL", "CREATED", "EXPIRES"];
    connect.output.show(principals, &head, |principal| {
        let role = |grant: &api::RoleGrant| {
            let role = grant.role().as_str_name().trim_start_matches("ROLE_").to_lowercase();
            let role = role.replace('_', "-");
            match grant.team.as_str() {
                "" => role,
                team => format!("{role}:{}", labels.of(team)),
            }
        };
        vec![
            principal.name.trim_start_matches("principals/").to_owned(),
            principal.display_name.clone(),
            principal.roles.iter().map(role).collect::<Vec<_>>().join(", "),
            principal.hint.clone(),
            shown_time(principal.create_time.as_ref()),
            shown_expiry(principal.expire_time.as_ref(), principal.expired),
        ]
    })
}
