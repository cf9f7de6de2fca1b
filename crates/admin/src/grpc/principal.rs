//! Principals.
//!
//! Must not know what roles permit.

use std::collections::BTreeSet;

use domain::access::Role;
use domain::aggregate::Rejection;
use domain::commit::{Change, Subject};
use domain::directory::{Directory, Siblings};
use domain::id::PrincipalId;
use domain::name::DisplayName;
use domain::principal::{self, Principal};
use domain::secret::Kind;
use tonic::{Request, Response, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::principal_service_server::PrincipalService;

use super::call::{Calls, request_of};
use super::convert::{
    Mask, display_name, expected, principal_name, principal_to, roles_from, time_at,
};
use super::error;
use crate::access::{About, Caller};

impl Calls {
    fn show_principal(
        &self,
        id: PrincipalId,
        credential: &str,
    ) -> Result<Response<api::Principal>, Status> {
        let shown = |principal: &Principal| principal_to(principal, self.now());
        let principal = self.store.read(|directory| directory.principal(id).map(shown));
        let name = || format!("principals/{id}");
        let principal = principal.ok_or_else(|| error::not_found(&name()))?;
        Ok(Response::new(api::Principal { credential: credential.to_owned(), ..principal }))
    }
}

fn is_taken(directory: &Directory, name: Option<&DisplayName>, own: PrincipalId) -> bool {
    let found = name.and_then(|name| directory.named(Siblings::Principals, name.as_str()));
    found.is_some_and(|found| found != Subject::Principal(own))
}

fn teams_live(directory: &Directory, roles: &BTreeSet<Role>, held: &BTreeSet<Role>) -> bool {
    let mut teams = roles.difference(held).filter_map(|role| role.team());
    teams.all(|team| directory.team(team).is_some())
}

/// Reads a principal's name; `principals/me` is the caller.
fn name_or_me(name: &str, caller: &Caller) -> Result<PrincipalId, Status> {
    match (name, caller) {
        ("principals/me", Caller::Principal(id, _)) => Ok(*id),
        _ => principal_name(name, "name"),
    }
}

#[tonic::async_trait]
impl PrincipalService for Calls {
    async fn create_principal(
        &self,
        request: Request<api::CreatePrincipalRequest>,
    ) -> Result<Response<api::Principal>, Status> {
        let method = "PrincipalService/CreatePrincipal";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let sent = message.principal.ok_or_else(|| error::field("principal", "is required"))?;
        let name = display_name(&sent.display_name, "principal.display_name")?;
        let roles = roles_from(&sent.roles)?;
        let expires_at = time_at(sent.expire_time.as_ref(), "principal.expire_time")?;
        let id = PrincipalId::from_bytes(self.fresh_id());
        let secret = self.secret(Kind::Credential);
        let (digest, last_four) = (secret.digest(), secret.last_four());
        let by_bootstrap = matches!(caller, Caller::Bootstrap);
        let done = self.execute(&caller, "", asked, move |directory, now| {
            let command = principal::Command::Create {
                name_taken: is_taken(directory, Some(&name), id),
                name,
                teams_live: teams_live(directory, &roles, &BTreeSet::new()),
                roles,
                digest,
                last_four,
                expires_at,
                by_bootstrap,
                now,
            };
            // Two callers with the bootstrap credential at once: it is dead for the second.
            if by_bootstrap && !directory.has_bootstrap() {
                return Err(Rejection::NotFound);
            }
            let events = principal::decide(directory.principal_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Principal(id, event)).collect())
        });
        let done = done.await?;
        if by_bootstrap {
            // It is dead; that nobody finds it lying about is a courtesy that may fail.
            let _ = std::fs::remove_file(&self.bootstrap);
        }
        match done.repeat_of {
            Some(Subject::Principal(earlier)) => self.show_principal(earlier, ""),
            Some(_) => Err(error::not_found(&format!("principals/{id}"))),
            None => self.show_principal(id, secret.reveal()),
        }
    }

    async fn get_principal(
        &self,
        request: Request<api::GetPrincipalRequest>,
    ) -> Result<Response<api::Principal>, Status> {
        let caller = self.caller(request.metadata())?;
        let about = |m: &api::GetPrincipalRequest| {
            let principal = Some(name_or_me(&m.name, &caller)?);
            Ok(About { principal, ..About::default() })
        };
        let (_, message) = self.admit(request, "PrincipalService/GetPrincipal", about)?;
        self.show_principal(name_or_me(&message.name, &caller)?, "")
    }

    async fn list_principals(
        &self,
        request: Request<api::ListPrincipalsRequest>,
    ) -> Result<Response<api::ListPrincipalsResponse>, Status> {
        let method = "PrincipalService/ListPrincipals";
        let (_, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let page = self.page(message.page_size, &message.page_token, method)?;
        let now = self.now();
        let shown = |principal: &Principal| principal_to(principal, now);
        let (principals, next_page_token) = self.store.read(|directory| {
            page.of(directory.principals(), |principal| *principal.id.as_bytes(), shown)
        });
        Ok(Response::new(api::ListPrincipalsResponse { principals, next_page_token }))
    }

    async fn update_principal(
        &self,
        request: Request<api::UpdatePrincipalRequest>,
    ) -> Result<Response<api::Principal>, Status> {
        let method = "PrincipalService/UpdatePrincipal";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let sent = message.principal.ok_or_else(|| error::field("principal", "is required"))?;
        let id = principal_name(&sent.name, "principal.name")?;
        let mask = Mask::parse(message.update_mask, &["display_name", "roles", "expire_time"])?;
        let name = mask.has("display_name", !sent.display_name.is_empty());
        let name = name.then(|| display_name(&sent.display_name, "principal.display_name"));
        let roles = mask.has("roles", !sent.roles.is_empty()).then(|| roles_from(&sent.roles));
        let (name, roles) = (name.transpose()?, roles.transpose()?);
        let expires_at = time_at(sent.expire_time.as_ref(), "principal.expire_time")?;
        let expires_at = mask.has("expire_time", expires_at.is_some()).then_some(expires_at);
        let expected = expected(&sent.etag, "principal.etag")?;
        self.execute(&caller, &sent.name, asked, move |directory, now| {
            let old = directory.principal(id).ok_or(Rejection::NotFound)?;
            let command = principal::Command::Update {
                expected,
                name_taken: is_taken(directory, name.as_ref(), id),
                name,
                teams_live: roles
                    .as_ref()
                    .is_none_or(|roles| teams_live(directory, roles, &old.roles)),
                roles,
                expires_at,
                other_lasting_admin: directory.other_lasting_admin(id),
                now,
            };
            let events = principal::decide(directory.principal_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Principal(id, event)).collect())
        })
        .await?;
        self.show_principal(id, "")
    }

    async fn replace_credential(
        &self,
        request: Request<api::ReplaceCredentialRequest>,
    ) -> Result<Response<api::Principal>, Status> {
        let method = "PrincipalService/ReplaceCredential";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let id = principal_name(&message.name, "name")?;
        let expected = expected(&message.etag, "etag")?;
        let secret = self.secret(Kind::Credential);
        let (digest, last_four) = (secret.digest(), secret.last_four());
        let done = self.execute(&caller, &message.name, asked, move |directory, now| {
            let command =
                principal::Command::ReplaceCredential { expected, digest, last_four, now };
            let events = principal::decide(directory.principal_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Principal(id, event)).collect())
        });
        match done.await?.repeat_of {
            Some(_) => self.show_principal(id, ""),
            None => self.show_principal(id, secret.reveal()),
        }
    }

    async fn delete_principal(
        &self,
        request: Request<api::DeletePrincipalRequest>,
    ) -> Result<Response<pbjson_types::Empty>, Status> {
        let method = "PrincipalService/DeletePrincipal";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let id = principal_name(&message.name, "name")?;
        let expected = expected(&message.etag, "etag")?;
        self.execute(&caller, &message.name, asked, move |directory, _| {
            let other_lasting_admin = directory.other_lasting_admin(id);
            let command = principal::Command::Delete { expected, other_lasting_admin };
            let events = principal::decide(directory.principal_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Principal(id, event)).collect())
        })
        .await?;
        Ok(Response::new(pbjson_types::Empty {}))
    }
}
