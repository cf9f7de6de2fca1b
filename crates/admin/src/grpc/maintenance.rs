//! Maintenance windows of services.
//!
//! Must not know what a window suppresses.

use std::sync::Arc;

use domain::access::Action;
use domain::aggregate::Rejection;
use domain::commit::Change;
use domain::directory::Directory;
use domain::id::{MaintenanceId, ServiceId, TeamId};
use domain::maintenance::{self, State, Tag, Tags, Window};
use domain::service::{self, Service};
use domain::time::Timestamp;
use tonic::{Request, Response, Status};
use wire::audit::actor_name;
use wire::catalog::tag_to;
use wire::event::time;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::maintenance_service_server::MaintenanceService;

use super::call::{Calls, request_of};
use super::convert::{items_from, list_parent, maintenance_name, service_name, time_at};
use super::error::{self, field};
use crate::access::About;

impl Calls {
    /// Shows the window of that service that fits; `name` is what was asked for.
    fn show_window(
        &self,
        name: &str,
        (team, id): (TeamId, ServiceId),
        fits: impl Fn(&Window) -> bool,
    ) -> Result<Response<api::MaintenanceWindow>, Status> {
        let now = self.now();
        let window = self.store.read(|directory| {
            let service = directory.service(id).filter(|service| service.team == team)?;
            let window = service.maintenance.iter().find(|window| fits(window))?;
            Some(window_to(service, window, now))
        });
        window.map(Response::new).ok_or_else(|| error::not_found(name))
    }
}

fn about_window(name: &str) -> Result<About, Status> {
    maintenance_name(name).map(|(team, ..)| team.into())
}

/// What a command about the windows of that service leads to.
fn decide(
    directory: &Directory,
    team: TeamId,
    id: ServiceId,
    command: maintenance::Command,
) -> Result<Vec<Change>, Rejection> {
    if directory.service(id).is_none_or(|found| found.team != team) {
        return Err(Rejection::NotFound);
    }
    let command = service::Command::Maintenance(command);
    let events = service::decide(directory.service_entry(id), command)?;
    Ok(events.into_iter().map(|event| Change::Service(id, event)).collect())
}

#[tonic::async_trait]
impl MaintenanceService for Calls {
    async fn create_maintenance(
        &self,
        request: Request<api::CreateMaintenanceRequest>,
    ) -> Result<Response<api::MaintenanceWindow>, Status> {
        let method = "MaintenanceService/CreateMaintenance";
        let about = |m: &api::CreateMaintenanceRequest| {
            service_name(&m.parent, "parent").map(|(team, _)| About::from(team))
        };
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let (team, service) = service_name(&message.parent, "parent")?;
        let at = "maintenance_window";
        let sent = message.maintenance_window.ok_or_else(|| field(at, "is required"))?;
        let start = time_at(sent.start_time.as_ref(), "maintenance_window.start_time")?;
        let end = time_at(sent.end_time.as_ref(), "maintenance_window.end_time")?;
        let end = end.ok_or_else(|| field("maintenance_window.end_time", "is required"))?;
        let tags = Arc::new(tags_from(&sent.tags)?);
        let id = MaintenanceId::from_bytes(self.fresh_id());
        let done = self.execute(&caller, "", asked, move |directory, now| {
            let command = maintenance::Command::Create { id, start, end, tags, now };
            decide(directory, team, service, command).map_err(|rejection| {
                let gone = rejection == Rejection::NotFound;
                if gone { Rejection::ParentNotFound } else { rejection }
            })
        });
        let done = done.await?;
        match done.repeat_of {
            // Of an earlier request its commit is known, and a window knows which one made it.
            Some(_) => self.show_window("", (team, service), |w| w.made.sequence == done.sequence),
            None => self.show_window("", (team, service), |window| window.id == id),
        }
    }

    async fn get_maintenance(
        &self,
        request: Request<api::GetMaintenanceRequest>,
    ) -> Result<Response<api::MaintenanceWindow>, Status> {
        let about = |m: &api::GetMaintenanceRequest| about_window(&m.name);
        let (_, message) = self.admit(request, "MaintenanceService/GetMaintenance", about)?;
        let (team, service, id) = maintenance_name(&message.name)?;
        self.show_window(&message.name, (team, service), |window| window.id == id)
    }

    async fn list_maintenance(
        &self,
        request: Request<api::ListMaintenanceRequest>,
    ) -> Result<Response<api::ListMaintenanceResponse>, Status> {
        let method = "MaintenanceService/ListMaintenance";
        let (caller, message) = self.admit(request, method, |_| Ok(About::default()))?;
        let (team, id) = list_parent(&message.parent)?;
        if let Some(team) = team
            && !caller.may(Action::ReadTeam(team))
        {
            return Err(error::denied());
        }
        let state = state_from(message.state)?;
        let question = format!("{method} {} {}", message.parent, message.state);
        let page = self.page(message.page_size, &message.page_token, &question)?;
        let now = self.now();
        let (maintenance_windows, next_page_token) = self.store.read(|directory| {
            let mut found: Vec<_> = directory
                .services()
                .filter(|service| team.is_none_or(|team| service.team == team))
                .filter(|service| id.is_none_or(|id| service.id == id))
                .filter(|service| caller.may(Action::ReadTeam(service.team)))
                .flat_map(|service| service.maintenance.iter().map(move |window| (service, window)))
                .filter(|(_, window)| state.is_none_or(|state| window.state(now) == state))
                .collect();
            found.sort_by_key(|(_, window)| window.id);
            let show = |(service, window)| window_to(service, window, now);
            page.of(found.into_iter(), |(_, window)| *window.id.as_bytes(), show)
        });
        Ok(Response::new(api::ListMaintenanceResponse { maintenance_windows, next_page_token }))
    }

    async fn end_maintenance(
        &self,
        request: Request<api::EndMaintenanceRequest>,
    ) -> Result<Response<api::MaintenanceWindow>, Status> {
        let method = "MaintenanceService/EndMaintenance";
        let about = |m: &api::EndMaintenanceRequest| about_window(&m.name);
        let (caller, message) = self.admit(request, method, about)?;
        let asked = request_of(method, &message.request_id, &message)?;
        let (team, service, id) = maintenance_name(&message.name)?;
        self.execute(&caller, &message.name, asked, move |directory, now| {
            decide(directory, team, service, maintenance::Command::End { id, now })
        })
        .await?;
        self.show_window(&message.name, (team, service), |window| window.id == id)
    }
}

/// A maintenance window of a service as it is shown at this time.
fn window_to(service: &Service, window: &Window, now: Timestamp) -> api::MaintenanceWindow {
    let (team, id) = (service.team, service.id);
    api::MaintenanceWindow {
        name: format!("teams/{team}/services/{id}/maintenances/{}", window.id),
        start_time: Some(time(window.start)),
        end_time: Some(time(window.end)),
        tags: window.tags.as_slice().iter().map(tag_to).collect(),
        state: state_to(window.state(now)).into(),
        creator: actor_name(window.made.actor),
        create_time: Some(time(window.made.at)),
    }
}

const fn state_to(state: State) -> api::MaintenanceState {
    match state {
        State::Upcoming => api::MaintenanceState::Upcoming,
        State::Active => api::MaintenanceState::Active,
        State::Ended => api::MaintenanceState::Ended,
    }
}

/// Reads which state is asked for; none for all.
fn state_from(state: i32) -> Result<Option<State>, Status> {
    match api::MaintenanceState::try_from(state) {
        Ok(api::MaintenanceState::Unspecified) => Ok(None),
        Ok(api::MaintenanceState::Upcoming) => Ok(Some(State::Upcoming)),
        Ok(api::MaintenanceState::Active) => Ok(Some(State::Active)),
        Ok(api::MaintenanceState::Ended) => Ok(Some(State::Ended)),
        Err(_) => Err(field("state", "must be one of MaintenanceState")),
    }
}

/// Reads the tags of a maintenance window.
fn tags_from(tags: &[api::MaintenanceTag]) -> Result<Tags, Status> {
    let at = "maintenance_window.tags";
    let read = |(n, tag): (usize, &api::MaintenanceTag)| {
        let texts = items_from(&tag.contains, &format!("{at}[{n}]"))?;
        Tag::new(texts).map_err(|rule| field(format!("{at}[{n}].contains"), rule))
    };
    let tags = tags.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Tags::new(tags).map_err(|rule| field(at, rule))
}
