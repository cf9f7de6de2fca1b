//! The API log: what was asked with tracked tokens, what was answered, and why.
//!
//! - `entry`: an entry from its parts, of which `told` has what they tell of services. `read`: where
//!   parts are. `wanted`: which entries, and for whom. `seen`: which were shown.
//! - `explain`: one that nobody keeps, of an alert that might come. `find`: one of them. `list`: many,
//!   newest first. `join`: parts as they come; with it `export`, and `tail` for entries that are still
//!   to come.
//!
//! Must not know how parts come about.

mod entry;
mod explain;
mod export;
mod find;
mod join;
mod list;
mod read;
mod seen;
mod tail;
mod told;
mod wanted;

use std::pin::Pin;
use std::time::Duration;

use domain::access::Action;
use domain::id::{PrincipalId, ServiceId};
use futures::{Stream, StreamExt};
use runtime::nats::Nats;
use runtime::places::{Full, Place, Places};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use wire::partition::Partitions;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::api_log_service_server::ApiLogService;

use super::call::Calls;
use super::convert::{api_log_entry_name, token_name};
use super::error;
use crate::access::{About, Caller, presented};
use entry::Entry;
use wanted::{Wanted, may_read};

/// The most tails at a time, and of them of one principal.
const TAILS: (usize, usize) = (256, 32);
/// The most exports at a time, and of them of one principal.
const EXPORTS: (usize, usize) = (4, 2);
/// The most lists and single reads at a time, and of them of one principal; others wait.
const READS: (usize, usize) = (8, 2);
/// Answers of an export that the caller has not taken yet.
const BUFFER: usize = 2;
/// How long a caller may take none.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves the API log. Cheap to clone.
#[derive(Clone)]
pub struct ApiLog {
    calls: Calls,
    nats: Nats,
    partitions: Partitions,
    tails: Places<PrincipalId>,
    exports: Places<PrincipalId>,
    reads: Places<PrincipalId>,
    stopping: CancellationToken,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl ApiLog {
    /// The API log of what these calls administer.
    pub fn new(
        calls: &Calls,
        nats: &Nats,
        partitions: Partitions,
        stopping: &CancellationToken,
    ) -> Self {
        Self {
            calls: calls.clone(),
            nats: nats.clone(),
            partitions,
            tails: Places::new(TAILS.0, TAILS.1),
            exports: Places::new(EXPORTS.0, EXPORTS.1),
            reads: Places::new(READS.0, READS.1),
            stopping: stopping.clone(),
        }
    }

    /// Reads which entries are asked for, of which the caller may ask.
    fn wanted(
        &self,
        caller: &Caller,
        filter: Option<&api::ApiLogFilter>,
    ) -> Result<Wanted, Status> {
        let wanted = Wanted::parse(filter)?;
        self.calls.store.read(|directory| wanted.permit(caller, directory))?;
        Ok(wanted)
    }

    /// The entry of this name, if the caller may read it.
    async fn named(
        &self,
        caller: &Caller,
        name: &str,
        at: &str,
        token: &str,
    ) -> Result<Entry, Status> {
        let token = (!token.is_empty()).then(|| token_name(token, "token")).transpose()?;
        let may_read = |token, target: Option<&str>| {
            self.calls.store.read(|directory| may_read(caller, directory, token, target))
        };
        if token.is_some_and(|token| !may_read(token, None)) {
            return Err(error::denied());
        }
        match self.find(caller, api_log_entry_name(name, at)?, token).await? {
            Some(entry) if may_read(entry.token, entry.target()) => Ok(entry),
            // Only who may read all of them learns that there is none.
            None if caller.may(Action::ReadInstallation) => Err(error::not_found(name)),
            Some(_) | None => Err(error::denied()),
        }
    }

    /// A place to read with, waited for until then.
    async fn reading(&self, caller: &Caller, until: Instant) -> Result<Place<PrincipalId>, Status> {
        let holder = match caller {
            Caller::Principal(by, _) => Some(*by),
            Caller::Bootstrap => None,
        };
        timeout_at(until, self.reads.wait(holder)).await.map_err(|_| too_slow())
    }

    fn service_name(&self, id: ServiceId) -> String {
        let team = self.calls.store.read(|now| now.service(id).map(|found| found.team));
        team.map_or(format!("teams/-/services/{id}"), |team| format!("teams/{team}/services/{id}"))
    }
}

/// A place for this caller.
fn place(
    places: &Places<PrincipalId>,
    caller: &Caller,
    full: impl FnOnce(Full) -> Status,
) -> Result<Place<PrincipalId>, Status> {
    match caller {
        Caller::Principal(by, _) => places.take(Some(*by)).map_err(full),
        Caller::Bootstrap => Err(error::denied()),
    }
}

/// What is received, with the place that it takes until the caller lets go of it.
fn answers<T: Send + 'static>(
    receiver: mpsc::Receiver<Result<T, Status>>,
    place: Place<PrincipalId>,
) -> Answers<T> {
    let held = move |answer| {
        let _held = &place;
        answer
    };
    Box::pin(ReceiverStream::new(receiver).map(held))
}

fn too_slow() -> Status {
    error::read_timeout("the API log cannot be read in time: ask for less, or again later")
}

fn unreadable(_: runtime::nats::Error) -> Status {
    error::unavailable("the API log cannot be read: the broker does not answer")
}

#[tonic::async_trait]
impl ApiLogService for ApiLog {
    type TailApiLogEntriesStream = Answers<api::TailApiLogEntriesResponse>;
    type ExportApiLogEntriesStream = Answers<api::ExportApiLogEntriesResponse>;

    async fn list_api_log_entries(
        &self,
        request: Request<api::ListApiLogEntriesRequest>,
    ) -> Result<Response<api::ListApiLogEntriesResponse>, Status> {
        let method = "ApiLogService/ListApiLogEntries";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let wanted = self.wanted(&caller, message.filter.as_ref())?;
        let question = format!("{method} {:?}", message.filter);
        let page = self.calls.page(message.page_size, &message.page_token, &question)?;
        let (api_log_entries, next_page_token) = self.list(&caller, &wanted, &page).await?;
        Ok(Response::new(api::ListApiLogEntriesResponse { api_log_entries, next_page_token }))
    }

    async fn get_api_log_entry(
        &self,
        request: Request<api::GetApiLogEntryRequest>,
    ) -> Result<Response<api::ApiLogEntry>, Status> {
        let method = "ApiLogService/GetApiLogEntry";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let entry = self.named(&caller, &message.name, "name", &message.token).await?;
        Ok(Response::new(self.calls.with_token_name(entry.whole())))
    }

    async fn explain_alert(
        &self,
        request: Request<api::ExplainAlertRequest>,
    ) -> Result<Response<api::ApiLogEntry>, Status> {
        let method = "ApiLogService/ExplainAlert";
        let about = |m: &api::ExplainAlertRequest| {
            let id = token_name(&m.token, "token")?;
            let reach = self.calls.store.read(|directory| directory.reach_of(id));
            Ok(About { reach, ..About::default() })
        };
        let (caller, message) = self.calls.admit(request, method, about)?;
        let token = token_name(&message.token, "token")?;
        let reach = self.calls.store.read(|directory| directory.reach_of(token));
        let reach = reach.ok_or_else(|| error::not_found(&message.token))?;
        self.explain(&caller, token, reach, message).await.map(Response::new)
    }

    async fn list_unmatched_services(
        &self,
        request: Request<api::ListUnmatchedServicesRequest>,
    ) -> Result<Response<api::ListUnmatchedServicesResponse>, Status> {
        let method = "ApiLogService/ListUnmatchedServices";
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let question = format!("{method} {}", message.parent);
        let page = self.calls.page(message.page_size, &message.page_token, &question)?;
        let entry = self.named(&caller, &message.parent, "parent", &message.token).await?;
        let ids = entry.told().unmatched();
        let (services, next_page_token) =
            page.of(ids, |id| *id.as_bytes(), |id| self.service_name(id));
        Ok(Response::new(api::ListUnmatchedServicesResponse { services, next_page_token }))
    }

    async fn tail_api_log_entries(
        &self,
        request: Request<api::TailApiLogEntriesRequest>,
    ) -> Result<Response<Self::TailApiLogEntriesStream>, Status> {
        let method = "ApiLogService/TailApiLogEntries";
        let credential = presented(request.metadata())?;
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let wanted = self.wanted(&caller, message.filter.as_ref())?;
        if wanted.since.is_some() || wanted.until.is_some() {
            return Err(error::field("filter", "must have no times: entries are those to come"));
        }
        self.tail(&caller, credential, wanted, &message.cursor).await.map(Response::new)
    }

    async fn export_api_log_entries(
        &self,
        request: Request<api::ExportApiLogEntriesRequest>,
    ) -> Result<Response<Self::ExportApiLogEntriesStream>, Status> {
        let method = "ApiLogService/ExportApiLogEntries";
        let credential = presented(request.metadata())?;
        let (caller, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let wanted = self.wanted(&caller, message.filter.as_ref())?;
        let place = place(&self.exports, &caller, |_| error::too_many_exports())?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let export = export::Export::new(self, credential, wanted, sender.clone());
        let stopping = self.stopping.clone();
        tokio::spawn(async move {
            tokio::select! {
                exported = export.run() => if let Err(ended) = exported {
                    let _ = timeout(PATIENCE, sender.send(Err(ended))).await;
                },
                () = sender.closed() => {}
                () = stopping.cancelled() => {
                    let ended = error::unavailable("the server stops: ask again");
                    let _ = sender.try_send(Err(ended));
                }
            }
        });
        Ok(Response::new(answers(receiver, place)))
    }
}
