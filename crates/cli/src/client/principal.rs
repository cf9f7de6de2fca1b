//! `gander principal`.
//!
//! Must not know what roles permit.

use runtime::secret_file;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::principal_service_client::PrincipalServiceClient;

use super::commands::PrincipalCommand;
use super::{
    Authorized, Connect, Output, default_credential_file, names, request_id, show_secret,
    shown_time,
};

/// Carries it out.
pub async fn run(connect: &Connect, command: &PrincipalCommand) -> anyhow::Result<()> {
    match command {
        PrincipalCommand::Create { name, roles, secret_file, bootstrap_file } => {
            let channel = match bootstrap_file {
                Some(file) => connect.open_with(&secret_file::read(file)?).await?,
                None => connect.open().await?,
            };
            let kept = match (secret_file, bootstrap_file) {
                (Some(file), _) => Some(file.clone()),
                (None, Some(_)) => {
                    Some(connect.credential_file.clone().map_or_else(default_credential_file, Ok)?)
                }
                (None, None) => None,
            };
            let principal = api::Principal {
                display_name: name.clone(),
                roles: grants(&channel, roles).await?,
                ..api::Principal::default()
            };
            let principal = Some(principal);
            let request = api::CreatePrincipalRequest { principal, request_id: request_id() };
            let mut client = PrincipalServiceClient::new(channel);
            let made = client.create_principal(request).await?.into_inner();
            show_made(connect, made, kept.as_deref())
        }
        PrincipalCommand::List => show(connect, &names::principals(&connect.open().await?).await?),
        PrincipalCommand::ReplaceCredential { principal, secret_file } => {
            let channel = connect.open().await?;
            let old = names::principal(&channel, principal).await?;
            let (name, etag) = (old.name, old.etag);
            let request = api::ReplaceCredentialRequest { name, etag, request_id: request_id() };
            let mut client = PrincipalServiceClient::new(channel);
            let made = client.replace_credential(request).await?.into_inner();
            show_made(connect, made, secret_file.as_deref())
        }
        PrincipalCommand::Delete { principal } => {
            let channel = connect.open().await?;
            let old = names::principal(&channel, principal).await?;
            let (name, etag) = (old.name.clone(), old.etag.clone());
            let request = api::DeletePrincipalRequest { name, etag, request_id: request_id() };
            PrincipalServiceClient::new(channel).delete_principal(request).await?;
            show(connect, &[old])
        }
    }
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
            _ => anyhow::bail!(
                "a role is global-admin, stakeholder, team-manager:TEAM, responder:TEAM or observer:TEAM"
            ),
        };
        let team = match team {
            "" => String::new(),
            team => names::team(channel, team).await?.name,
        };
        grants.push(api::RoleGrant { role: role.into(), team });
    }
    Ok(grants)
}

fn show_made(
    connect: &Connect,
    principal: api::Principal,
    file: Option<&std::path::Path>,
) -> anyhow::Result<()> {
    let credential = principal.credential.clone();
    match (connect.output, file) {
        (Output::Json, None) => show(connect, &[principal]),
        _ => {
            show(connect, &[api::Principal { credential: String::new(), ..principal }])?;
            show_secret(&credential, file)
        }
    }
}

fn show(connect: &Connect, principals: &[api::Principal]) -> anyhow::Result<()> {
    let head = ["PRINCIPAL", "NAME", "ROLES", "CREDENTIAL", "CREATED"];
    connect.output.show(principals, &head, |principal| {
        let role = |grant: &api::RoleGrant| {
            let role = grant.role().as_str_name().trim_start_matches("ROLE_").to_lowercase();
            let team = if grant.team.is_empty() { "" } else { ":" };
            format!("{}{team}{}", role.replace('_', "-"), grant.team)
        };
        vec![
            principal.name.trim_start_matches("principals/").to_owned(),
            principal.display_name.clone(),
            principal.roles.iter().map(role).collect::<Vec<_>>().join(", "),
            principal.hint.clone(),
            shown_time(principal.create_time.as_ref()),
        ]
    })
}
