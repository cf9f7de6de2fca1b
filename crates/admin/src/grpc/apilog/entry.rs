//! An entry of the API log, put together from its parts.
//!
//! Of parts with the same place, and of a service that two parts tell of, what was stored later
//! counts. Must not know where parts are stored, nor who asks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::id::{AlertId, ServiceId, TokenId};
use domain::time::Timestamp;
use prost::Message;
use wire::event::time;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::apilog::{LogPart, Part};

/// The most bytes of reasons in an entry; with the call it stays below 3 MiB.
const REASONS_BYTES: usize = 2_304 * 1024;
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
                *epoch = reasons.epoch;
                let bit = 1_u64.checked_shl(reasons.partition).unwrap_or(0);
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

    /// The partitions that must tell reasons and have not told all of them.
    fn silent(&self) -> u64 {
        self.call.unwrap_or(self.begun | self.ended) & !(self.begun & self.ended)
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

/// What happened in services, each true where it did in any.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    created: bool,
    resolved: bool,
    duplicate: bool,
    suppressed: bool,
    failed: bool,
}

impl Happened {
    fn add(&mut self, service: &api::ServiceReasons) {
        use api::{ResolveVerdict, TriggerVerdict};
        self.created |= service.trigger() == TriggerVerdict::Created;
        self.resolved |= service.resolve() == ResolveVerdict::Resolved;
        self.duplicate |= service.trigger() == TriggerVerdict::Duplicate;
        self.duplicate |= service.resolve() == ResolveVerdict::Duplicate;
        self.suppressed |= service.trigger() == TriggerVerdict::Suppressed;
        self.failed |= service.failed;
    }

    fn join(&mut self, other: Self) {
        self.created |= other.created;
        self.resolved |= other.resolved;
        self.duplicate |= other.duplicate;
        self.suppressed |= other.suppressed;
        self.failed |= other.failed;
    }

    const fn is_something(self) -> bool {
        self.created || self.resolved || self.duplicate || self.suppressed || self.failed
    }

    fn of(service: &api::ServiceReasons) -> Self {
        let mut happened = Self::default();
        happened.add(service);
        happened
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
    services: BTreeMap<ServiceId, api::ServiceReasons>,
    bytes: usize,
    /// What happened in services that are left out for their size.
    beyond: BTreeMap<ServiceId, Happened>,
    unmatched: BTreeSet<ServiceId>,
    /// How many unmatched services there are of which not even the ids are told, by part.
    nameless: BTreeMap<(u32, Bytes), u64>,
    progress: Progress,
    cut: bool,
}

impl Entry {
    /// One without any part.
    pub fn new(alert: AlertId, token: TokenId) -> Self {
        Self {
            alert,
            token,
            call: None,
            services: BTreeMap::new(),
            bytes: 0,
            beyond: BTreeMap::new(),
            unmatched: BTreeSet::new(),
            nameless: BTreeMap::new(),
            progress: Progress::default(),
            cut: false,
        }
    }

    /// Adds a part; they come in the order in which they were stored.
    pub fn add(&mut self, part: LogPart) {
        if !self.progress.add(&part) {
            return;
        }
        match part.part {
            Part::Call(call) => self.call = Some(call),
            Part::Reasons(reasons) => self.add_reasons(reasons),
        }
    }

    fn add_reasons(&mut self, reasons: stored::ReasonsPart) {
        self.cut |= reasons.cut;
        for service in reasons.services {
            let id = service.service.rsplit('/').next().and_then(|id| ServiceId::parse(id).ok());
            let Some(id) = id else { continue };
            self.forget(id);
            if self.bytes + service.encoded_len() > REASONS_BYTES {
                self.cut = true;
                self.beyond.insert(id, Happened::of(&service));
                continue;
            }
            self.bytes += service.encoded_len();
            self.services.insert(id, service);
        }
        let mut told = 0;
        for id in reasons.unmatched.chunks_exact(16) {
            let Ok(id) = ServiceId::try_from(id) else { continue };
            told += 1;
            self.forget(id);
            self.unmatched.insert(id);
        }
        let nameless = reasons.unmatched_count.saturating_sub(told);
        self.nameless.insert((reasons.partition, reasons.after), nameless);
    }

    /// Forgets what an earlier part told of a service.
    fn forget(&mut self, id: ServiceId) {
        self.unmatched.remove(&id);
        self.beyond.remove(&id);
        let before = self.services.remove(&id);
        self.bytes -= before.map_or(0, |before| before.encoded_len());
    }

    /// How much of it is there.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What its token reaches, as the call tells.
    pub fn target(&self) -> Option<&str> {
        self.call.as_ref().map(|call| call.target.as_str())
    }

    /// The services in which nothing matched and of which it has no reasons.
    pub const fn unmatched(&self) -> &BTreeSet<ServiceId> {
        &self.unmatched
    }

    /// Whether the alert reached this service.
    pub fn reached(&self, service: ServiceId) -> bool {
        self.services.contains_key(&service)
            || self.unmatched.contains(&service)
            || self.beyond.contains_key(&service)
    }

    /// When the call was received; where that part is missing, what its id says.
    pub fn received_at(&self) -> Timestamp {
        let at = self.call.as_ref().map(|call| Timestamp::from_micros(call.received_at_micros));
        at.unwrap_or_else(|| begun(self.alert))
    }

    fn happened(&self) -> Happened {
        let mut happened = Happened::default();
        self.beyond.values().for_each(|beyond| happened.join(*beyond));
        self.services.values().for_each(|service| happened.add(service));
        happened
    }

    /// What the call came to.
    pub fn outcome(&self) -> api::ApiLogOutcome {
        use api::ApiLogOutcome as Outcome;
        let happened = self.happened();
        match happened {
            Happened { created: true, .. } => Outcome::Created,
            Happened { resolved: true, .. } => Outcome::Resolved,
            Happened { duplicate: true, .. } => Outcome::Duplicate,
            Happened { suppressed: true, .. } => Outcome::Suppressed,
            Happened { failed: true, .. } => Outcome::Failed,
            _ if self.call.as_ref().is_some_and(is_refused) => Outcome::Refused,
            _ if !self.progress.is_complete() => Outcome::Pending,
            _ => Outcome::Unmatched,
        }
    }

    fn unmatched_count(&self) -> u64 {
        let nothing = |service: &&api::ServiceReasons| !matched(service);
        let beyond = self.beyond.values().filter(|happened| !happened.is_something());
        let shown = self.services.values().filter(nothing).count() + self.unmatched.len();
        let told = u64::try_from(shown + beyond.count()).unwrap_or(u64::MAX);
        self.nameless.values().fold(told, |all, some| all.saturating_add(*some))
    }

    /// All of it.
    pub fn whole(self) -> api::ApiLogEntry {
        let mut shown = self.filled();
        if let Some(call) = self.call {
            let (request, answer, cut) = whole_call(call);
            (shown.request, shown.answer) = (Some(request), Some(answer));
            shown.cut |= cut;
        }
        shown.services = self.services.into_values().collect();
        shown
    }

    /// What a list shows of it.
    pub fn short(&self) -> api::ApiLogEntry {
        let mut shown = self.filled();
        if let Some(call) = &self.call {
            let (request, answer) = short_call(call);
            (shown.request, shown.answer) = (Some(request), Some(answer));
        }
        let busy = self.services.values().filter(|service| Happened::of(service).is_something());
        let bare = |service: &api::ServiceReasons| api::ServiceReasons {
            filters: vec![],
            ..service.clone()
        };
        shown.services = busy.take(LISTED_SERVICES).map(bare).collect();
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
            unmatched_count: self.unmatched_count(),
            missing: self.progress.missing(),
            cut: self.cut,
            ..api::ApiLogEntry::default()
        }
    }
}

/// Whether the sender was told of an error, or was gone before anything was stored.
const fn is_refused(call: &stored::CallPart) -> bool {
    call.status >= 400 || (call.status == 0 && call.partitions == 0)
}

/// Whether something matched in the service, or its evaluation failed.
fn matched(service: &api::ServiceReasons) -> bool {
    let idle = |filter: &api::FilterReasons| filter.verdict() == api::FilterVerdict::Unspecified;
    Happened::of(service).is_something() || !service.filters.iter().all(idle)
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
