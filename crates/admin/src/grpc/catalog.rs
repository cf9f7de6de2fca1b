//! Teams and services.
//!
//! Must not know tokens: that they die with what they reach is read elsewhere.

use std::sync::Arc;

use domain::access::Action;
use domain::aggregate::Rejection;
use domain::commit::{Change, Subject};
use domain::directory::Siblings;
use domain::id::{ServiceId, TeamId};
use domain::{service, team};
use tonic::{Request, Response, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::catalog_service_server::CatalogService;

use super::call::{Calls, request_of};
use super::convert::{
    Mask, display_name, expected, filters_from, list_parent, service_name, service_to, team_name,
    team_to,
};
use super::error;
use crate::access::About;

impl Calls {
    fn show_team(&self, id: TeamId) -> Result<Response<api::Team>, Status> {
        let team = self.store.read(|directory| directory.team(id).map(team_to));
        team.map(Response::new).ok_or_else(|| error::not_found(&format!("teams/{id}")))
    }

    fn show_service(&self, team: TeamId, id: ServiceId) -> Result<Response<api::Service>, Status> {
        let now = self.now();
        let service = self.store.read(|directory| {
            let service = directory.service(id).filter(|service| service.team == team);
            service.map(|service| service_to(service, now))
        });
        let name = || format!("teams/{team}/services/{id}");
        service.map(Response::new).ok_or_else(|| error::not_found(&name()))
    }
}

fn is_taken(found: Option<Subject>, own: Subject) -> bool {
    found.is_some_and(|found| found != own)
}

fn about_service(name: &str, at: &str) -> Result<About, Status> {
    service_name(name, at).map(|(team, _)| team.into())
}

#[tonic::async_trait]
impl CatalogService for Calls {
    async fn create_team(
        &self,
        request: Request<api::CreateTeamRequest>,
    ) -> Result<Response<api::Team>, Status> {
        let method = "CatalogService/CreateTeam";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let team = message.team.ok_or_else(|| error::field("team", "is required"))?;
        let name = display_name(&team.display_name, "team.display_name")?;
        let id = TeamId::from_bytes(self.fresh_id());
        let done = self.execute(&caller, "", asked, move |directory, _| {
            let name_taken = directory.named(Siblings::Teams, name.as_str()).is_some();
            let command = team::Command::Create { name, name_taken };
            let events = team::decide(directory.team_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Team(id, event)).collect())
        });
        match done.await?.repeat_of {
            Some(Subject::Team(earlier)) => self.show_team(earlier),
            Some(_) | None => self.show_team(id),
        }
    }

    async fn get_team(
        &self,
        request: Request<api::GetTeamRequest>,
    ) -> Result<Response<api::Team>, Status> {
        let about = |m: &api::GetTeamRequest| team_name(&m.name, "name").map(About::from);
        let (_, message) = self.admit(request, "CatalogService/GetTeam", about)?;
        self.show_team(team_name(&message.name, "name")?)
    }

    async fn list_teams(
        &self,
        request: Request<api::ListTeamsRequest>,
    ) -> Result<Response<api::ListTeamsResponse>, Status> {
        let method = "CatalogService/ListTeams";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let page = self.page(message.page_size, &message.page_token, method)?;
        let (teams, next_page_token) = self.store.read(|directory| {
            let own = directory.teams().filter(|team| caller.may(Action::ReadTeam(team.id)));
            page.of(own, |team| *team.id.as_bytes(), team_to)
        });
        Ok(Response::new(api::ListTeamsResponse { teams, next_page_token }))
    }

    async fn update_team(
        &self,
        request: Request<api::UpdateTeamRequest>,
    ) -> Result<Response<api::Team>, Status> {
        let method = "CatalogService/UpdateTeam";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let team = message.team.ok_or_else(|| error::field("team", "is required"))?;
        let id = team_name(&team.name, "team.name")?;
        let mask = Mask::parse(message.update_mask, &["display_name"])?;
        if mask.has("display_name", !team.display_name.is_empty()) {
            let name = display_name(&team.display_name, "team.display_name")?;
            let expected = expected(&team.etag, "team.etag")?;
            self.execute(&caller, &team.name, asked, move |directory, _| {
                let found = directory.named(Siblings::Teams, name.as_str());
                let name_taken = is_taken(found, Subject::Team(id));
                let command = team::Command::Rename { expected, name, name_taken };
                let events = team::decide(directory.team_entry(id), command)?;
                Ok(events.into_iter().map(|event| Change::Team(id, event)).collect())
            })
            .await?;
        }
        self.show_team(id)
    }

    async fn delete_team(
        &self,
        request: Request<api::DeleteTeamRequest>,
    ) -> Result<Response<pbjson_types::Empty>, Status> {
        let method = "CatalogService/DeleteTeam";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let asked = request_of(method, &message.request_id, &message)?;
        let id = team_name(&message.name, "name")?;
        let expected = expected(&message.etag, "etag")?;
        self.execute(&caller, &message.name, asked, move |directory, _| {
            let command = team::Command::Delete { expected };
            let events = team::decide(directory.team_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Team(id, event)).collect())
        })
        .await?;
        Ok(Response::new(pbjson_types::Empty {}))
    }

    async fn test_filter(
        &self,
        request: Request<api::TestFilterRequest>,
    ) -> Result<Response<api::TestFilterResponse>, Status> {
        self.try_filters(request).await
    }

    async fn create_service(
        &self,
        request: Request<api::CreateServiceRequest>,
    ) -> Result<Response<api::Service>, Status> {
        let method = "CatalogService/CreateService";
        let about = |m: &api::CreateServiceRequest| team_name(&m.parent, "parent").map(About::from);
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let team = team_name(&message.parent, "parent")?;
        let service = message.service.ok_or_else(|| error::field("service", "is required"))?;
        let name = display_name(&service.display_name, "service.display_name")?;
        let filters =
            Arc::new(filters_from("service.filters", &service.filters, || self.fresh_id())?);
        let id = ServiceId::from_bytes(self.fresh_id());
        let done = self.execute(&caller, "", asked, move |directory, _| {
            let name_taken = directory.named(Siblings::Services(team), name.as_str()).is_some();
            let command = service::Command::Create {
                team,
                team_lives: directory.team(team).is_some(),
                name,
                name_taken,
                disabled: service.disabled,
                filters,
            };
            let events = service::decide(directory.service_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Service(id, event)).collect())
        });
        match done.await?.repeat_of {
            Some(Subject::Service(earlier)) => self.show_service(team, earlier),
            Some(_) | None => self.show_service(team, id),
        }
    }

    async fn get_service(
        &self,
        request: Request<api::GetServiceRequest>,
    ) -> Result<Response<api::Service>, Status> {
        let about = |m: &api::GetServiceRequest| about_service(&m.name, "name");
        let (_, message) = self.admit(request, "CatalogService/GetService", about)?;
        let (team, id) = service_name(&message.name, "name")?;
        self.show_service(team, id)
    }

    async fn list_services(
        &self,
        request: Request<api::ListServicesRequest>,
    ) -> Result<Response<api::ListServicesResponse>, Status> {
        let method = "CatalogService/ListServices";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let team = match list_parent(&message.parent)? {
            (None, _) => None,
            (Some(team), None) if caller.may(Action::ReadTeam(team)) => Some(team),
            (Some(_), None) => return Err(error::denied()),
            (Some(_), Some(_)) => {
                return Err(error::field("parent", "must be teams/{team} or teams/-"));
            }
        };
        let question = format!("{method} {}", message.parent);
        let page = self.page(message.page_size, &message.page_token, &question)?;
        let now = self.now();
        let (services, next_page_token) = self.store.read(|directory| {
            let own = directory
                .services()
                .filter(|service| team.is_none_or(|team| service.team == team))
                .filter(|service| caller.may(Action::ReadTeam(service.team)));
            page.of(own, |service| *service.id.as_bytes(), |service| service_to(service, now))
        });
        Ok(Response::new(api::ListServicesResponse { services, next_page_token }))
    }

    async fn update_service(
        &self,
        request: Request<api::UpdateServiceRequest>,
    ) -> Result<Response<api::Service>, Status> {
        let method = "CatalogService/UpdateService";
        let about = |m: &api::UpdateServiceRequest| {
            let name = m.service.as_ref().map(|service| service.name.as_str());
            about_service(name.unwrap_or_default(), "service.name")
        };
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let sent = message.service.ok_or_else(|| error::field("service", "is required"))?;
        let (team, id) = service_name(&sent.name, "service.name")?;
        let mask = Mask::parse(message.update_mask, &["display_name", "disabled", "filters"])?;
        let name = mask.has("display_name", !sent.display_name.is_empty());
        let name = name.then(|| display_name(&sent.display_name, "service.display_name"));
        let filters = mask.has("filters", !sent.filters.is_empty());
        let filters =
            filters.then(|| filters_from("service.filters", &sent.filters, || self.fresh_id()));
        let (name, filters) = (name.transpose()?, filters.transpose()?.map(Arc::new));
        let disabled = mask.has("disabled", sent.disabled).then_some(sent.disabled);
        let expected = expected(&sent.etag, "service.etag")?;
        self.execute(&caller, &sent.name, asked, move |directory, _| {
            if directory.service(id).is_none_or(|found| found.team != team) {
                return Err(Rejection::NotFound);
            }
            let found = name
                .as_ref()
                .and_then(|name| directory.named(Siblings::Services(team), name.as_str()));
            let name_taken = is_taken(found, Subject::Service(id));
            let command =
                service::Command::Update { expected, name, name_taken, disabled, filters };
            let events = service::decide(directory.service_entry(id), command)?;
            Ok(events.into_iter().map(|event| Change::Service(id, event)).collect())
        })
        .await?;
        self.show_service(team, id)
    }

    async fn delete_service(
        &self,
        request: Request<api::DeleteServiceRequest>,
    ) -> Result<Response<pbjson_types::Empty>, Status> {
        let method = "CatalogService/DeleteService";
        let about = |m: &api::DeleteServiceRequest| about_service(&m.name, "name");
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let (team, id) = service_name(&message.name, "name")?;
        let expected = expected(&message.etag, "etag")?;
        self.execute(&caller, &message.name, asked, move |directory, _| {
            let entry = directory.service_entry(id);
            if entry.live().is_some_and(|found| found.team != team) {
                return Err(Rejection::NotFound);
            }
            let events = service::decide(entry, service::Command::Delete { expected })?;
            Ok(events.into_iter().map(|event| Change::Service(id, event)).collect())
        })
        .await?;
        Ok(Response::new(pbjson_types::Empty {}))
    }
}
