//! Administrators: each repeats a command until it is acknowledged, then comes the next.
//!
//! Must not know how commands are stored.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::timeout;
use tonic::{Code, Status};
use wire::proto::gander::admin::v1 as api;

use super::{Kind, PAUSE, Shared};
use crate::admin::{Admin, filter, request_id};
use crate::ledger::fact;
use crate::wait::PATIENCE;

/// Somebody who repeats a call until it is done.
pub(super) struct Caller {
    grpc: SocketAddr,
    credential: String,
    pub(super) shared: Arc<Shared>,
}

impl Caller {
    pub(super) const fn new(grpc: SocketAddr, credential: String, shared: Arc<Shared>) -> Self {
        Self { grpc, credential, shared }
    }

    /// Repeats a call, over connections of its own, until it is done; none where it must end
    /// before, or is refused for good.
    pub(super) async fn until_done<T, F>(&self, call: impl Fn(Admin) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Status>>,
    {
        loop {
            if let Ok(admin) = Admin::connect(self.grpc, &self.credential).await {
                let call = self.shared.count(Kind::Commands, call(admin));
                let Ok(answer) = timeout(PATIENCE, call).await else {
                    self.shared.told().late.push("a command without an answer".to_owned());
                    return None;
                };
                match answer {
                    Ok(done) => {
                        self.shared.told().commands += 1;
                        return Some(done);
                    }
                    Err(status) if may_be_repeated(&status) => {}
                    Err(status) => {
                        let said = format!("{:?}: {}", status.code(), status.message());
                        self.shared.told().outside.push(said);
                        return None;
                    }
                }
            }
            if !self.shared.goes_on() {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn forget(&self, fact: &str) {
        self.shared.told().facts.remove(fact);
    }

    fn note(&self, fact: String, is_there: bool) {
        self.shared.told().facts.insert(fact, is_there);
    }

    fn goes_on(&self) -> bool {
        self.shared.goes_on()
    }
}

/// Whether a client may send the same request again, as `docs/grpc.md` says.
fn may_be_repeated(status: &Status) -> bool {
    // Unknown and cancelled are what tonic makes of a connection that breaks, and this where that
    // happens in the middle of a frame.
    let broken =
        status.code() == Code::Internal && status.message().starts_with("h2 protocol error");
    broken
        || matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Unknown
                | Code::Cancelled
        )
}

pub(super) async fn create(n: usize, caller: Caller) {
    for made in 0.. {
        let name = format!("team-{n}-{made}");
        if team(&caller, &name).await.is_none() {
            return;
        }
        caller.note(fact::team(&name), true);
        if !caller.goes_on() {
            return;
        }
    }
}

async fn team(caller: &Caller, name: &str) -> Option<api::Team> {
    let team = Some(api::Team { display_name: name.to_owned(), ..api::Team::default() });
    let request = api::CreateTeamRequest { team, request_id: request_id() };
    let call = |admin: Admin| {
        let request = request.clone();
        async move { Ok(admin.catalog().create_team(request).await?.into_inner()) }
    };
    caller.until_done(call).await
}

/// Changes the filters of a service of its own, and makes and deletes tokens of it.
pub(super) async fn change(n: usize, caller: Caller) {
    let Some(team) = team(&caller, &format!("changing-{n}")).await else { return };
    let Some(service) = service(&caller, &team).await else { return };
    let mut current: Option<String> = None;
    for made in 0.. {
        let name = format!("filter {made}");
        if let Some(current) = &current {
            caller.forget(&fact::filter(&service, current));
        }
        if !set_filter(&caller, &service, &name).await {
            return;
        }
        caller.note(fact::filter(&service, &name), true);
        if let Some(before) = current.replace(name) {
            caller.note(fact::filter(&service, &before), false);
        }
        if !token(&caller, &service, made).await || !caller.goes_on() {
            return;
        }
    }
}

async fn service(caller: &Caller, team: &api::Team) -> Option<String> {
    let service = api::Service { display_name: "changing".to_owned(), ..api::Service::default() };
    let (parent, service) = (team.name.clone(), Some(service));
    let request = api::CreateServiceRequest { parent, service, request_id: request_id() };
    let call = |admin: Admin| {
        let request = request.clone();
        async move { Ok(admin.catalog().create_service(request).await?.into_inner().name) }
    };
    caller.until_done(call).await
}

async fn set_filter(caller: &Caller, service: &str, name: &str) -> bool {
    let service = api::Service {
        name: service.to_owned(),
        filters: vec![filter(name)],
        ..api::Service::default()
    };
    let update_mask = Some(pbjson_types::FieldMask { paths: vec!["filters".to_owned()] });
    let (service, request_id) = (Some(service), request_id());
    let request = api::UpdateServiceRequest { service, update_mask, request_id };
    let call = |admin: Admin| {
        let request = request.clone();
        async move { admin.catalog().update_service(request).await.map(drop) }
    };
    caller.until_done(call).await.is_some()
}

/// Makes a token; every other one is deleted again.
async fn token(caller: &Caller, service: &str, made: usize) -> bool {
    let Some(token) = super::revoked::create(caller, service, &format!("token {made}")).await
    else {
        return false;
    };
    let token = token.name;
    if made.is_multiple_of(2) {
        let done = super::revoked::delete(caller, &token).await;
        if done {
            caller.note(fact::token(&token), false);
        }
        return done;
    }
    caller.note(fact::token(&token), true);
    true
}
