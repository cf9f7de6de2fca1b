//! Lists of incidents: the open ones from their states, the resolved ones from their events.
//!
//! Must not know how one incident is found.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use domain::access::Action;
use domain::id::{ServiceId, TeamId};
use domain::incident::{Incident, Kind};
use domain::time::Timestamp;
use prost::Message as _;
use runtime::nats::{Since, Stored};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use wire::event::{incident_to, time_from};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1 as events;
use wire::subject;
use wire::timestamp::Timestamp as ProtoTime;

use super::{Incidents, incident_of, may_read, scope, too_slow, unreadable};
use crate::access::Caller;
use crate::grpc::error;
use crate::grpc::page::{MAX_BYTES, Page};

/// How long resolved incidents are looked for; then a page ends with what was found.
const LOOKING: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    team: Option<TeamId>,
    service: Option<ServiceId>,
    which: api::ListedIncidents,
    urgency: events::Urgency,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Asked {
    fn parse(caller: &Caller, message: &api::ListIncidentsRequest) -> Result<Self, Status> {
        let (team, service) = scope(caller, &message.parent)?;
        let which = api::ListedIncidents::try_from(message.status)
            .map_err(|_| error::field("status", "must be one that this server knows"))?;
        let urgency = events::Urgency::try_from(message.urgency)
            .map_err(|_| error::field("urgency", "must be one that this server knows"))?;
        let time = |at: Option<&ProtoTime>, field: &str| match at {
            None => Ok(None),
            Some(_) if which != api::ListedIncidents::Resolved => {
                Err(error::field(field, "may be set with status LISTED_INCIDENTS_RESOLVED only"))
            }
            Some(at) => match time_from(at) {
                Some(at) => Ok(Some(at)),
                None => Err(error::field(field, "must be a time in the years 1 to 9999")),
            },
        };
        let since = time(message.resolved_since.as_ref(), "resolved_since")?;
        let until = time(message.resolved_until.as_ref(), "resolved_until")?;
        Ok(Self { team, service, which, urgency, since, until })
    }

    /// Whether an incident that fits in all else has the urgency.
    fn is_urgent(&self, incident: &events::Incident) -> bool {
        self.urgency == events::Urgency::Unspecified || incident.urgency() == self.urgency
    }

    fn fits(&self, incident: &Incident) -> bool {
        let acknowledged = incident.acknowledged.is_some();
        let which = match self.which {
            api::ListedIncidents::Unspecified | api::ListedIncidents::Open => true,
            api::ListedIncidents::Unacknowledged => !acknowledged,
            api::ListedIncidents::Acknowledged => acknowledged,
            api::ListedIncidents::Resolved => false,
        };
        let opening = &incident.opening;
        which
            && incident.is_open()
            && self.team.is_none_or(|team| opening.team == team)
            && self.service.is_none_or(|service| opening.service == service)
    }
}

/// Of the incidents that come in no order, those that the page may have, and at least one more
/// where there is one; so memory is bounded by that of a page.
struct Nearest {
    after: Option<[u8; 16]>,
    most: usize,
    kept: BTreeMap<[u8; 16], events::Incident>,
    bytes: usize,
}

impl Nearest {
    fn new(page: &Page) -> Self {
        Self { after: page.after(), most: page.size() + 1, kept: BTreeMap::new(), bytes: 0 }
    }

    fn add(&mut self, id: [u8; 16], incident: events::Incident) {
        if self.after.is_some_and(|after| id <= after) {
            return;
        }
        self.bytes += incident.encoded_len();
        if let Some(before) = self.kept.insert(id, incident) {
            self.bytes -= before.encoded_len();
        }
        while let Some(last) = self.kept.last_entry() {
            let bytes = self.bytes - last.get().encoded_len();
            // Those before it fill a page already.
            if self.kept.len() <= self.most && bytes <= MAX_BYTES {
                break;
            }
            self.bytes = bytes;
            self.kept.pop_last();
        }
    }
}

impl Incidents {
    /// A page of what is asked for.
    pub async fn list(
        &self,
        caller: &Caller,
        message: &api::ListIncidentsRequest,
    ) -> Result<api::ListIncidentsResponse, Status> {
        let asked = Asked::parse(caller, message)?;
        let question = api::ListIncidentsRequest {
            page_size: 0,
            page_token: String::new(),
            ..message.clone()
        };
        let question = format!("IncidentService/ListIncidents {question:?}");
        let page = self.calls.page(message.page_size, &message.page_token, &question)?;
        let _place = self.reading().await?;
        let (incidents, next_page_token) = match asked.which {
            api::ListedIncidents::Resolved => self.resolved(caller, &asked, &page).await?,
            api::ListedIncidents::Unspecified
            | api::ListedIncidents::Open
            | api::ListedIncidents::Unacknowledged
            | api::ListedIncidents::Acknowledged => self.open(caller, &asked, &page).await?,
        };
        Ok(api::ListIncidentsResponse { incidents, next_page_token })
    }

    /// Open ones, in the order of their ids.
    async fn open(
        &self,
        caller: &Caller,
        asked: &Asked,
        page: &Page,
    ) -> Result<(Vec<events::Incident>, String), Status> {
        let mut nearest = Nearest::new(page);
        let look = |incident: Incident| {
            let may_read = || caller.may(Action::ReadTeam(incident.opening.team));
            if asked.fits(&incident) && may_read() {
                let shown = incident_to(&incident);
                if asked.is_urgent(&shown) {
                    nearest.add(*incident.opening.id.as_bytes(), shown);
                }
            }
            ControlFlow::Continue(())
        };
        self.states(&self.states_of(asked.team), look).await?;
        Ok(page.of(nearest.kept.into_iter(), |(id, _)| *id, |(_, incident)| incident))
    }

    /// Resolved ones, in the order in which their last events were stored.
    async fn resolved(
        &self,
        caller: &Caller,
        asked: &Asked,
        page: &Page,
    ) -> Result<(Vec<events::Incident>, String), Status> {
        let filter = subject::events_of_kind(Kind::Resolved, asked.team, asked.service);
        let since = match page.after() {
            Some(after) => Since::Sequence(sequence_of(after).saturating_add(1)),
            None => asked.since.map_or(Since::Sequence(1), Since::Time),
        };
        let mut past = self.nats.past(subject::INCIDENTS_STREAM, &filter, since);
        let mut filling = page.filling();
        let deadline = Instant::now() + LOOKING;
        loop {
            let Ok(next) = timeout_at(deadline, past.next()).await else {
                return if filling.has_moved() { Ok(filling.more()) } else { Err(too_slow()) };
            };
            let next = next.map_err(unreadable)?;
            let in_range = |stored: &Stored| asked.until.is_none_or(|end| stored.stored_at < end);
            let Some(stored) = next.filter(in_range) else {
                return Ok(filling.last());
            };
            let (place, incident) = (place_of(stored.sequence), incident_of(&stored.payload)?);
            if !asked.is_urgent(&incident) || !may_read(caller, &incident.team) {
                filling.pass(place);
            } else if !filling.add(place, incident) {
                return Ok(filling.more());
            }
        }
    }
}

/// The place of an event in a list: its sequence.
fn place_of(sequence: u64) -> [u8; 16] {
    u128::from(sequence).to_be_bytes()
}

/// The sequence at this place; past all of them where no list has given it.
fn sequence_of(place: [u8; 16]) -> u64 {
    u64::try_from(u128::from_be_bytes(place)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::page::Key;

    /// The first bytes of the ids of a page of what comes in this order, each of so many bytes.
    fn page(after: Option<u64>, size: i32, coming: &[(u8, usize)]) -> (Vec<u8>, bool, usize) {
        let key = Key::draw(&runtime::random::SystemRandom);
        let first = Page::parse(&key, size, "", "q").unwrap();
        let token = after.map_or(String::new(), |after| first.token_of(after));
        let page = Page::parse(&key, size, &token, "q").unwrap();
        let (mut nearest, mut most) = (Nearest::new(&page), 0);
        for (id, bytes) in coming {
            let incident = events::Incident { title: "x".repeat(*bytes), ..Default::default() };
            nearest.add(u128::from(*id).to_be_bytes(), incident);
            most = most.max(nearest.bytes);
        }
        let ids: Vec<u8> = nearest.kept.keys().map(|id| id[15]).collect();
        let (shown, next) = page.of(nearest.kept.into_iter(), |(id, _)| *id, |(_, one)| one);
        (ids[..shown.len()].to_vec(), next.is_empty(), most)
    }

    #[test]
    fn a_page_has_the_smallest_ids_whatever_order_they_come_in() {
        let coming = [(9, 1), (3, 1), (7, 1), (1, 1), (5, 1), (3, 2)];
        assert_eq!(page(None, 3, &coming).0, [1, 3, 5]);
        assert!(!page(None, 3, &coming).1, "there are more");
        let (ids, is_last, _) = page(Some(5), 3, &coming);
        assert_eq!((ids, is_last), (vec![7, 9], true));
    }

    #[test]
    fn no_more_is_kept_than_a_page_may_have() {
        let coming: Vec<_> = (1..=200u8).rev().map(|id| (id, 100_000)).collect();
        let (ids, is_last, most) = page(None, 1_000, &coming);
        assert!(!is_last && ids.starts_with(&[1, 2, 3]), "{ids:?}");
        assert!(most <= MAX_BYTES + 250_000, "{most}");
    }

    #[test]
    fn a_place_past_all_is_no_overflow() {
        assert_eq!(sequence_of([0xff; 16]).saturating_add(1), u64::MAX);
    }
}
