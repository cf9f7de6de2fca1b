//! An entry of the API log, put together from its parts.
//!
//! Of parts with the same place, and of a service that two parts tell of, what was stored later
//! counts; where a partition was taken over, what its new owner tells in place of the old one. Must
//! not know where parts are stored, nor who asks.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::id::{AlertId, TokenId};
use domain::time::Timestamp;
use prost::Message;
use wire::event::time;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::apilog::{LogPart, Part};

use super::told::{Happened, Told, is_matched, matched};

/// The most bytes of a body, and of an answer, that are shown.
const BODY_BYTES: usize = 256 * 1024;
/// The most bytes of headers that are shown.
const HEADERS_BYTES: usize = 128 * 1024;
/// The most services of an entry in a list.
const LISTED_SERVICES: usize = 10;

/// How much of an entry is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The partitions that tell reasons, once the call is there.
    call: Option<u64>,
    begun: u64,
    ended: u64,
    /// The newest epochs of partitions that have told something.
    epochs: BTreeMap<u32, u64>,
}

impl Progress {
    /// Takes a part into account; they come in the order in which they were stored. False if it does
    /// not count: a worker has written it that had lost its partition to another one.
    pub fn add(&mut self, part: &LogPart) -> bool {
        match &part.part {
            Part::Call(call) => self.call = Some(call.partitions),
            Part::Reasons(reasons) => {
                let epoch = self.epochs.entry(reasons.partition).or_default();
                if reasons.epoch < *epoch {
                    return false;
                }
                let bit = 1_u64.checked_shl(reasons.partition).unwrap_or(0);
                if reasons.epoch > *epoch {
                    // That the old owner had told all of it may never have been committed.
                    self.ended &= !bit;
                }
                *epoch = reasons.epoch;
                if reasons.after.is_empty() {
                    // It is told from the beginning, perhaps again.
                    self.begun |= bit;
                    self.ended &= !bit;
                }
                self.ended |= if reasons.last { bit } else { 0 };
            }
        }
        true
    }

    /// Whether the call is there.
    pub const fn has_call(&self) -> bool {
        self.call.is_some()
    }

    /// The partitions that must tell reasons and have not told all of them. One that tells some must
    /// tell all: the call names none where the client was told of an error, or was gone, and the alert
    /// was stored all the same.
    fn silent(&self) -> u64 {
        (self.call.unwrap_or(0) | self.begun | self.ended) & !(self.begun & self.ended)
    }

    /// Whether all is there.
    pub fn is_complete(&self) -> bool {
        self.has_call() && self.silent() == 0
    }

    fn missing(&self) -> Option<api::MissingParts> {
        let silent = self.silent();
        let partitions = (0..u64::BITS).filter(|p| silent >> p & 1 == 1).collect();
        let missing = api::MissingParts { call: !self.has_call(), partitions };
        (!self.is_complete()).then_some(missing)
    }
}

/// An entry on its way.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The alert, or the call.
    pub alert: AlertId,
    /// The token.
    pub token: TokenId,
    call: Option<stored::CallPart>,
    told: Told,
    progress: Progress,
}

impl Entry {
    /// One without any part.
    pub fn new(alert: AlertId, token: TokenId) -> Self {
        let (told, progress) = (Told::default(), Progress::default());
        Self { alert, token, call: None, told, progress }
    }

    /// Adds a part; they come in the order in which they were stored.
    pub fn add(&mut self, part: LogPart) {
        if !self.progress.add(&part) {
            return;
        }
        match part.part {
            Part::Call(call) => self.call = Some(call),
            Part::Reasons(reasons) => self.told.add(reasons),
        }
    }

    /// How much of it is there.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What its token reaches, as the call tells.
    pub fn target(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.target.as_str())
    }

    /// What is told of services.
    pub const fn told(&self) -> &Told {
        &self.told
    }

    /// When the call was received; where that part is missing, what its id says.
    pub fn received_at(&self) -> Timestamp {
        let at = self.call.as_ref().map(|call| Timestamp::from_micros(call.received_at_micros));
        at.unwrap_or_else(|| begun(self.alert))
    }

    /// What the call came to.
    pub fn outcome(&self) -> api::ApiLogOutcome {
        use api::ApiLogOutcome as Outcome;
        let happened = self.told.happened();
        match happened {
            Happened { created: true, .. } => Outcome::Created,
            Happened { resolved: true, .. } => Outcome::Resolved,
            Happened { duplicate: true, .. } => Outcome::Duplicate,
            Happened { suppressed: true, .. } => Outcome::Suppressed,
            Happened { failed: true, .. } => Outcome::Failed,
            // With reasons the alert was stored, whatever the client was told.
            _ if !self.told.is_something() && self.call.as_ref().is_some_and(is_refused) => {
                Outcome::Refused
            }
            _ if !self.progress.is_complete() => Outcome::Pending,
            _ => Outcome::Unmatched,
        }
    }

    /// All of it.
    pub fn whole(self) -> api::ApiLogEntry {
        let mut shown = self.filled();
        if let Some(call) = self.call {
            let (request, answer, cut) = whole_call(call);
            (shown.request, shown.answer) = (Some(request), Some(answer));
            shown.cut |= cut;
        }
        shown.services = self.told.into_reasons();
        shown
    }

    /// What a list shows of it.
    pub fn short(&self) -> api::ApiLogEntry {
        let mut shown = self.filled();
        if let Some(call) = &self.call {
            let (request, answer) = short_call(call);
            (shown.request, shown.answer) = (Some(request), Some(answer));
        }
        let happened = |service: &&api::ServiceReasons| Happened::of(service).is_something();
        let mut busy: Vec<_> = self.told.reasons().filter(happened).collect();
        if busy.is_empty() {
            busy.extend(self.told.reasons().filter(|service| matched(service)));
        }
        let bare = |service: &api::ServiceReasons| api::ServiceReasons {
            filters: service.filters.iter().filter(|one| is_matched(one)).map(verdict_of).collect(),
            ..service.clone()
        };
        shown.services = busy.into_iter().take(LISTED_SERVICES).map(bare).collect();
        shown
    }

    /// What both have.
    fn filled(&self) -> api::ApiLogEntry {
        api::ApiLogEntry {
            name: format!("apiLogEntries/{}", self.alert),
            token: format!("tokens/{}", self.token),
            target: self.target().unwrap_or_default().to_owned(),
            receive_time: Some(time(self.received_at())),
            from: self.call.as_ref().map(|call| call.from.clone()).unwrap_or_default(),
            outcome: self.outcome().into(),
            unmatched_count: self.told.unmatched_count(),
            missing: self.progress.missing(),
            cut: self.told.is_cut(),
            left_out_count: self.told.left_out(),
            ..api::ApiLogEntry::default()
        }
    }
}

/// What a list shows of a filter that matched: what it came to.
fn verdict_of(filter: &api::FilterReasons) -> api::FilterReasons {
    api::FilterReasons {
        filter: filter.filter.clone(),
        display_name: filter.display_name.clone(),
        verdict: filter.verdict,
        ..api::FilterReasons::default()
    }
}

/// Whether the sender was told of an error, or was gone before anything was stored.
const fn is_refused(call: &stored::CallPart) -> bool {
    call.status >= 400 || (call.status == 0 && call.partitions == 0)
}

/// The time with which the id of an alert begins, to the millisecond.
pub fn begun(alert: AlertId) -> Timestamp {
    let millis = alert.as_bytes()[..6].iter().fold(0, |all, byte| all << 8 | i64::from(*byte));
    Timestamp::from_micros(millis * 1_000)
}

fn short_call(call: &stored::CallPart) -> (api::ApiLogRequest, api::ApiLogAnswer) {
    let request = api::ApiLogRequest {
        method: call.method.clone(),
        uri: call.uri.clone(),
        headers: vec![],
        body_bytes: call.body_bytes,
        body: None,
        body_cut: call.body_cut,
        client: call.client.clone(),
        body_redacted: call.body_redacted,
    };
    let answer = api::ApiLogAnswer {
        status: call.status,
        code: call.code.clone(),
        body: Bytes::new(),
        duration_micros: call.duration_micros,
    };
    (request, answer)
}

fn whole_call(call: stored::CallPart) -> (api::ApiLogRequest, api::ApiLogAnswer, bool) {
    let (mut request, mut answer) = short_call(&call);
    let mut size = 0;
    let fits = |header: &&stored::Header| {
        size += header.encoded_len();
        size <= HEADERS_BYTES
    };
    let headers = call.headers.iter().take_while(fits).map(|header| api::ApiLogHeader {
        name: header.name.clone(),
        value: String::from_utf8_lossy(&header.value).into_owned(),
    });
    request.headers = headers.collect();
    let long = call.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES);
    let cut = long || call.answer.len() > BODY_BYTES || request.headers.len() < call.headers.len();
    request.body = call.body.map(|body| body.slice(..body.len().min(BODY_BYTES)));
    request.body_cut |= long;
    answer.body = call.answer.slice(..call.answer.len().min(BODY_BYTES));
    (request, answer, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(parts: impl IntoIterator<Item = Part>) -> Entry {
        let (alert, token) = (AlertId::from_bytes([1; 16]), TokenId::from_bytes([2; 16]));
        let mut entry = Entry::new(alert, token);
        parts.into_iter().for_each(|part| entry.add(LogPart { alert, token, part }));
        entry
    }

    fn call(status: u32, partitions: u64) -> Part {
        Part::Call(stored::CallPart { status, partitions, ..stored::CallPart::default() })
    }

    fn reasons(epoch: u64, last: bool, trigger: api::TriggerVerdict) -> Part {
        let service = format!("teams/-/services/{}", AlertId::from_bytes([3; 16]));
        let trigger = trigger.into();
        let services = vec![api::ServiceReasons { service, trigger, ..Default::default() }];
        Part::Reasons(stored::ReasonsPart { epoch, last, services, ..Default::default() })
    }

    #[test]
    fn an_alert_that_was_stored_is_not_refused() {
        use api::{ApiLogOutcome as Outcome, TriggerVerdict as Verdict};
        for status in [0, 503] {
            assert_eq!(entry([call(status, 0)]).outcome(), Outcome::Refused);
            let begun = entry([call(status, 0), reasons(1, false, Verdict::Unspecified)]);
            assert_eq!(begun.outcome(), Outcome::Pending);
            let all = entry([reasons(1, true, Verdict::Unspecified), call(status, 0)]);
            assert_eq!(all.outcome(), Outcome::Unmatched);
            let created = entry([reasons(1, true, Verdict::Created), call(status, 0)]);
            assert_eq!(created.outcome(), Outcome::Created);
        }
    }

    #[test]
    fn a_list_tells_of_a_resolve_that_finds_nothing_open() {
        let Part::Reasons(mut part) = reasons(1, true, api::TriggerVerdict::Unspecified) else {
            unreachable!("they are reasons")
        };
        let conditions = vec![api::ConditionReasons::default()];
        let verdict = api::FilterVerdict::Resolves.into();
        part.services[0].filters =
            vec![api::FilterReasons { verdict, conditions, ..Default::default() }];
        let short = entry([call(202, 1), Part::Reasons(part)]).short();
        assert_eq!((short.outcome(), short.unmatched_count), (api::ApiLogOutcome::Unmatched, 0));
        let filter = &short.services[0].filters[0];
        assert_eq!(filter.verdict(), api::FilterVerdict::Resolves);
        assert!(filter.conditions.is_empty(), "that is what GetApiLogEntry is for");
    }

    #[test]
    fn what_an_old_owner_ended_is_not_complete_until_the_new_one_has_ended_it() {
        let after = Bytes::from_static(&[3; 16]);
        let next = |epoch, last| {
            let after = after.clone();
            Part::Reasons(stored::ReasonsPart { epoch, last, after, ..Default::default() })
        };
        let first = reasons(1, false, api::TriggerVerdict::Unspecified);
        let parts = [call(202, 1), first, next(1, true), next(2, false), next(2, true)];
        let complete: Vec<_> = (1..=parts.len())
            .map(|count| entry(parts[..count].to_vec()).progress().is_complete())
            .collect();
        assert_eq!(complete, [false, false, true, false, true]);
    }
}
