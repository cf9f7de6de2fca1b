//! The audit log over gRPC.
//!
//! Must not know how records come about.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::aggregate::Actor;
use domain::commit::{Commit, Subject};
use domain::directory::Directory;
use domain::time::Timestamp;
use futures::Stream;
use prost::Message;
use runtime::journal::checkpoint::{self, Links};
use runtime::journal::{self, Head, Records};
use runtime::nats::Nats;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use wire::audit::{KINDS, exported, hash_from_hex, hex, kind};
use wire::event::time_from;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::audit_service_server::AuditService;
use wire::stored::control;

use super::call::Calls;
use super::convert::{principal_name, service_name, team_name, token_name};
use super::error;
use super::page::{MAX_BYTES, Page};
use crate::access::{About, Presented, authorize, presented};
use crate::audit::{Difference, Expected, History, Verdict, compare, noted};

/// The most exports and checks at a time.
const AUDITS: usize = 4;
/// The most records that one call of a list looks at.
const LOOKED_AT: usize = 20_000;
const CHUNK: usize = 100;
/// Records that are shown at a time, so that a page is never far too large in memory.
const SHOWN: usize = 50;
const MAX_KINDS: usize = 50;
const BUFFER: usize = 16;
/// The most heads of checkpoints in one question.
const MAX_HEADS: usize = 10_000;
/// How long a checkpoint may be on its way into the file.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_millis(200);
/// How long what is being relayed may take to be in GANDER_CONTROL.
const RELAY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Serves the audit log. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    calls: Calls,
    nats: Nats,
    records: Arc<dyn Records>,
    /// Which commits touched what, as far as somebody asked.
    history: Arc<Mutex<History>>,
    places: Arc<Semaphore>,
    stopping: CancellationToken,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AuditService for Audit {
    type ExportAuditRecordsStream = Answers<api::ExportAuditRecordsResponse>;
    type VerifyAuditStream = Answers<api::VerifyAuditResponse>;

    async fn list_audit_records(
        &self,
        request: Request<api::ListAuditRecordsRequest>,
    ) -> Result<Response<api::ListAuditRecordsResponse>, Status> {
        let method = "AuditService/ListAuditRecords";
        let (_, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let wanted = Wanted::parse(&message)?;
        let rest = api::ListAuditRecordsRequest {
            page_size: 0,
            page_token: String::new(),
            ..message.clone()
        };
        let question = format!("{method} {rest:?}");
        let page = self.calls.page(message.page_size, &message.page_token, &question)?;
        let list = move |audit: &Self| {
            let (records, next) = audit.list(&wanted, &page)?;
            Ok((audit.with_names(records)?, next))
        };
        let (records, next) = self.blocking(list).await?;
        Ok(Response::new(api::ListAuditRecordsResponse {
            audit_records: records,
            next_page_token: next,
        }))
    }

    async fn get_audit_record(
        &self,
        request: Request<api::GetAuditRecordRequest>,
    ) -> Result<Response<api::AuditRecord>, Status> {
        let method = "AuditService/GetAuditRecord";
        let (_, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let number = message.name.strip_prefix("auditRecords/").and_then(|n| n.parse().ok());
        let number: u64 =
            number.ok_or_else(|| error::field("name", "must be auditRecords/{number}"))?;
        if number == 0 || number > self.last() {
            return Err(error::not_found(&message.name));
        }
        let found = self.blocking(move |audit| {
            let found = audit.history()?.show(&*audit.records, &BTreeSet::from([number]));
            audit.with_names(found.map_err(unreadable)?)
        });
        let record = found.await?.pop();
        let record = record.ok_or_else(|| error::not_found(&message.name))?;
        Ok(Response::new(record))
    }

    async fn export_audit_records(
        &self,
        request: Request<api::ExportAuditRecordsRequest>,
    ) -> Result<Response<Self::ExportAuditRecordsStream>, Status> {
        let method = "AuditService/ExportAuditRecords";
        let credential = presented(request.metadata())?;
        let (_, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let place = self.place()?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let (audit, last) = (self.clone(), self.last());
        tokio::spawn(async move {
            let after = message.start_sequence.saturating_sub(1);
            if let Err(ended) = audit.export(after, last, credential, &sender).await {
                let _ = sender.send(Err(ended)).await;
            }
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn verify_audit(
        &self,
        request: Request<api::VerifyAuditRequest>,
    ) -> Result<Response<Self::VerifyAuditStream>, Status> {
        let method = "AuditService/VerifyAudit";
        let (_, message) = self.calls.admit(request, method, |_| Ok(About::default()))?;
        let expected = expected_from(&message)?;
        let place = self.place()?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let audit = self.clone();
        tokio::spawn(async move {
            let stopping = audit.stopping.clone();
            tokio::select! {
                checked = audit.verify(expected, sender.clone()) => {
                    let _ = sender.send(checked).await;
                }
                () = sender.closed() => {}
                () = stopping.cancelled() => {}
            }
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_audit_checkpoint(
        &self,
        request: Request<api::GetAuditCheckpointRequest>,
    ) -> Result<Response<api::AuditCheckpoint>, Status> {
        self.calls.admit(request, "AuditService/GetAuditCheckpoint", |_| Ok(About::default()))?;
        let signed = self.calls.store.signed();
        let note = signed.newest.borrow().to_string();
        Ok(Response::new(api::AuditCheckpoint { note, public_key: signed.public.to_string() }))
    }
}

impl Audit {
    /// The audit log of what these calls administer.
    pub fn new(calls: &Calls, nats: &Nats, stopping: &CancellationToken) -> Self {
        Self {
            calls: calls.clone(),
            nats: nats.clone(),
            records: calls.store.records(),
            history: Arc::default(),
            places: Arc::new(Semaphore::new(AUDITS)),
            stopping: stopping.clone(),
        }
    }

    /// The number of the last record that is durable.
    fn last(&self) -> u64 {
        self.calls.store.read(Directory::sequence)
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| error::too_many_audits())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let audit = self.clone();
        let done = tokio::task::spawn_blocking(move || act(&audit)).await;
        done.map_err(|_| error::internal("the audit log cannot be read"))?
    }

    /// Which commits touched what, up to the last.
    fn history(&self) -> Result<std::sync::MutexGuard<'_, History>, Status> {
        let mut history = self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        history.catch_up(&*self.records, self.last()).map_err(unreadable)?;
        Ok(history)
    }

    /// The records with what people call those who asked, or called them last.
    fn with_names(
        &self,
        mut records: Vec<api::AuditRecord>,
    ) -> Result<Vec<api::AuditRecord>, Status> {
        let history = self.history()?;
        for record in &mut records {
            let id = principal_name(&record.actor, "actor").ok();
            let found = id.and_then(|id| history.name(id));
            record.actor_display_name = found.map(ToString::to_string).unwrap_or_default();
        }
        Ok(records)
    }

    fn list(
        &self,
        wanted: &Wanted,
        page: &Page,
    ) -> Result<(Vec<api::AuditRecord>, String), Status> {
        let before = page.after_number().unwrap_or(u64::MAX).min(self.last() + 1);
        let numbers = match wanted.subject {
            None => None,
            Some(subject) => Some(self.history()?.of(subject, wanted.with_children)),
        };
        let mut walk = Walk::new(&*self.records, before, numbers);
        let mut list = List { page, records: vec![], bytes: 0 };
        let mut found = Vec::new();
        while let Some((number, record)) = walk.next()? {
            if wanted.fits(&decode(number, &record)?) {
                found.push(number);
            }
            let enough = list.records.len() + found.len() > page.size();
            if enough || found.len() == SHOWN || walk.looked_at >= LOOKED_AT {
                if let Some(token) = self.add(&mut list, &mut found)? {
                    return Ok((list.records, token));
                }
                if walk.looked_at >= LOOKED_AT {
                    return Ok((list.records, page.token_of(number)));
                }
            }
        }
        let token = self.add(&mut list, &mut found)?;
        Ok((list.records, token.unwrap_or_default()))
    }

    /// Adds the commits with these numbers to a page; gives the token of the next one once this is
    /// full.
    fn add(&self, list: &mut List<'_>, found: &mut Vec<u64>) -> Result<Option<String>, Status> {
        let numbers: BTreeSet<u64> = found.drain(..).collect();
        let shown = self.history()?.show(&*self.records, &numbers).map_err(unreadable)?;
        for record in shown.into_iter().rev() {
            list.bytes += record.encoded_len() + 8;
            let full = list.records.len() == list.page.size() || list.bytes > MAX_BYTES;
            if let Some(last) = list.records.last().filter(|_| full) {
                return Ok(Some(list.page.token_of(last.sequence)));
            }
            list.records.push(record);
        }
        Ok(None)
    }

    async fn export(
        &self,
        mut after: u64,
        last: u64,
        credential: Presented,
        sender: &mpsc::Sender<Result<api::ExportAuditRecordsResponse, Status>>,
    ) -> Result<(), Status> {
        while after < last {
            // Rights may be taken away while the call lasts.
            let caller = self.calls.caller_with(credential)?;
            authorize(&caller, "AuditService/ExportAuditRecords", About::default())?;
            let page =
                self.blocking(move |audit| audit.records.scan(after, CHUNK).map_err(unreadable));
            let page = page.await?;
            if page.is_empty() {
                return Err(error::internal("a record of the journal is missing"));
            }
            for (number, record) in page.into_iter().filter(|(number, _)| *number <= last) {
                let told = exported(&record, journal::hash(&record));
                let told = told.map_err(|_| error::internal("a record cannot be read"))?;
                let answer = api::ExportAuditRecordsResponse { record: Some(told) };
                tokio::select! {
                    sent = sender.send(Ok(answer)) => if sent.is_err() { return Ok(()) },
                    () = self.stopping.cancelled() => {
                        return Err(error::unavailable("the server stops: ask again from there"));
                    }
                }
                after = number;
            }
        }
        Ok(())
    }

    async fn verify(
        &self,
        expected: Expected,
        sender: mpsc::Sender<Result<api::VerifyAuditResponse, Status>>,
    ) -> Result<api::VerifyAuditResponse, Status> {
        let total = self.last();
        let relayed = self.await_relay(total).await;
        // What waits is no difference, and nothing can be said of a head that was noted there.
        let expected = if relayed == total { expected } else { expected.up_to(relayed) };
        let ours = match self.blocking(|audit| audit.noted()).await? {
            Ok(ours) => ours.up_to(relayed),
            Err(found) => return Ok(differs(total, relayed, found)),
        };
        let mut checked = 0;
        let records = Arc::clone(&self.records);
        let expected = expected.with(&ours);
        let verdict = compare(records, &self.nats, Some(relayed), &expected, |so_far| {
            checked = so_far;
            let progress =
                api::VerifyAuditResponse { checked, total, head: None, difference: None };
            // Who reads slowly misses some: the result comes all the same.
            let _ = sender.try_send(Ok(progress));
        });
        let verdict = verdict.await.map_err(|failed| {
            tracing::warn!(error = %failed, "the audit log cannot be checked");
            error::unavailable("the audit log cannot be checked: see the log of admin")
        })?;
        Ok(match verdict {
            Verdict::Whole(_) if relayed < total => {
                return Err(error::unavailable(&format!(
                    "the first {relayed} records are whole, but {} of the journal cannot be stored in GANDER_CONTROL yet: see the log of admin, and ask again",
                    total - relayed
                )));
            }
            Verdict::Whole(head) => {
                let (checked, head) = (head.sequence, Some(head_to(head)));
                api::VerifyAuditResponse { checked, total, head, difference: None }
            }
            Verdict::Differs(found) => differs(total, checked, *found),
        })
    }

    /// What our own checkpoints say. Between two looks one may be on its way.
    fn noted(&self) -> Result<Result<Expected, Difference>, Status> {
        let signed = self.calls.store.signed();
        let look = || {
            let text = checkpoint::read(&signed.path).map_err(|failed| {
                tracing::warn!(error = %failed, path = %signed.path.display(), "the checkpoint file cannot be read");
                error::unavailable("the checkpoint file cannot be read: see the log of admin")
            })?;
            Ok(noted(&text, &signed.public, Links::Whole))
        };
        match look()? {
            Ok(found) => Ok(Ok(found)),
            Err(_) => {
                std::thread::sleep(ON_ITS_WAY);
                look()
            }
        }
    }

    /// Waits a while until this record is relayed; gives how far that is, at most to it.
    async fn await_relay(&self, sequence: u64) -> u64 {
        let mut relayed = self.calls.store.relayed();
        let done = relayed.wait_for(|relayed| *relayed >= sequence);
        let _ = tokio::time::timeout(RELAY_PATIENCE, done).await;
        sequence.min(*relayed.borrow())
    }
}

fn differs(total: u64, checked: u64, found: Difference) -> api::VerifyAuditResponse {
    tracing::error!(
        commit = found.sequence,
        place = found.place.name(),
        "the audit log is not whole: {}",
        found.problem
    );
    let difference = Some(difference_to(found));
    api::VerifyAuditResponse { checked, total, head: None, difference }
}

/// A page on its way.
struct List<'a> {
    page: &'a Page,
    records: Vec<api::AuditRecord>,
    bytes: usize,
}

/// Records from the newest to the oldest, all or those with these numbers.
struct Walk<'a> {
    records: &'a dyn Records,
    before: u64,
    numbers: Option<Vec<u64>>,
    chunk: Vec<(u64, Bytes)>,
    looked_at: usize,
}

impl<'a> Walk<'a> {
    fn new(records: &'a dyn Records, before: u64, numbers: Option<Vec<u64>>) -> Self {
        let numbers = numbers.map(|mut numbers| {
            numbers.retain(|number| *number < before);
            numbers
        });
        Self { records, before, numbers, chunk: vec![], looked_at: 0 }
    }

    fn next(&mut self) -> Result<Option<(u64, Bytes)>, Status> {
        self.looked_at += 1;
        if let Some(numbers) = &mut self.numbers {
            let Some(number) = numbers.pop() else { return Ok(None) };
            return Ok(self.records.scan(number - 1, 1).map_err(unreadable)?.pop());
        }
        if self.chunk.is_empty() && self.before > 1 {
            let after = (self.before - 1).saturating_sub(CHUNK as u64);
            let most = usize::try_from(self.before - 1 - after).unwrap_or(CHUNK);
            self.chunk = self.records.scan(after, most).map_err(unreadable)?;
            self.before = after + 1;
        }
        Ok(self.chunk.pop())
    }
}

/// What a list is to show.
struct Wanted {
    subject: Option<Subject>,
    with_children: bool,
    actor: Option<Actor>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    kinds: Vec<String>,
}

impl Wanted {
    fn parse(message: &api::ListAuditRecordsRequest) -> Result<Self, Status> {
        let at = |at: &Option<wire::timestamp::Timestamp>, name: &str| {
            let rule = "must be a time between the years 1 and 9999";
            let read = |at| time_from(at).ok_or_else(|| error::field(name, rule));
            at.as_ref().map(read).transpose()
        };
        if message.kinds.len() > MAX_KINDS {
            return Err(error::field("kinds", format!("must be at most {MAX_KINDS}")));
        }
        let known = |wanted: &String| KINDS.iter().any(|kind| is_of_kind(kind, wanted));
        if let Some(n) = message.kinds.iter().position(|kind| !known(kind)) {
            let rule = format!("must be one of {}, or the word before the dot", KINDS.join(", "));
            return Err(error::field(format!("kinds[{n}]"), rule));
        }
        Ok(Self {
            subject: Some(&message.resource)
                .filter(|name| !name.is_empty())
                .map(|name| resource(name))
                .transpose()?,
            with_children: message.include_children,
            actor: Some(&message.actor)
                .filter(|name| !name.is_empty())
                .map(|name| actor(name))
                .transpose()?,
            since: at(&message.start_time, "start_time")?,
            until: at(&message.end_time, "end_time")?,
            kinds: message.kinds.clone(),
        })
    }

    fn fits(&self, commit: &Commit) -> bool {
        let of_kind = |change| self.kinds.iter().any(|wanted| is_of_kind(kind(change), wanted));
        self.actor.is_none_or(|actor| actor == commit.actor)
            && self.since.is_none_or(|since| commit.at >= since)
            && self.until.is_none_or(|until| commit.at < until)
            && (self.kinds.is_empty() || commit.changes.iter().any(of_kind))
    }
}

fn is_of_kind(kind: &str, wanted: &str) -> bool {
    kind == wanted || kind.split('.').next() == Some(wanted)
}

fn actor(name: &str) -> Result<Actor, Status> {
    match name {
        "bootstrap" => Ok(Actor::Bootstrap),
        "system" => Ok(Actor::System),
        name => principal_name(name, "actor").map(Actor::Principal).map_err(|_| {
            error::field("actor", "must be principals/{principal}, bootstrap or system")
        }),
    }
}

fn resource(name: &str) -> Result<Subject, Status> {
    let at = "resource";
    let service = || service_name(name, at).map(|(_, service)| Subject::Service(service));
    let found = team_name(name, at).map(Subject::Team).or_else(|_| service());
    let found = found.or_else(|_| token_name(name, at).map(Subject::Token));
    let found = found.or_else(|_| principal_name(name, at).map(Subject::Principal));
    found.map_err(|_| error::field(at, "must be the name of a team, service, token or principal"))
}

fn expected_from(message: &api::VerifyAuditRequest) -> Result<Expected, Status> {
    if message.checkpoints.len() > MAX_HEADS {
        return Err(error::field("checkpoints", format!("must be at most {MAX_HEADS}")));
    }
    let noted = message.expected.iter().map(|head| head_from(head, "expected"));
    let kept = message.checkpoints.iter().map(|head| head_from(head, "checkpoints"));
    Ok(Expected::default().and(noted.chain(kept).collect::<Result<Vec<_>, _>>()?))
}

fn head_from(head: &api::AuditHead, at: &str) -> Result<Head, Status> {
    let hash = hash_from_hex(&head.hash);
    let rule = "must be 64 lower-case hexadecimal digits";
    let hash = hash.ok_or_else(|| error::field(format!("{at}.hash"), rule))?;
    if head.sequence == 0 {
        return Err(error::field(format!("{at}.sequence"), "must be the number of a record"));
    }
    Ok(Head { sequence: head.sequence, hash })
}

fn head_to(head: Head) -> api::AuditHead {
    api::AuditHead { sequence: head.sequence, hash: hex(&head.hash) }
}

fn difference_to(found: Difference) -> api::AuditDifference {
    let hash = |hash: Option<[u8; 32]>| hash.as_ref().map(hex).unwrap_or_default();
    api::AuditDifference {
        sequence: found.sequence,
        place: found.place.name().to_owned(),
        problem: found.problem,
        expected_hash: hash(found.expected),
        found_hash: hash(found.found),
        says: found.says.into(),
    }
}

fn decode(sequence: u64, record: &Bytes) -> Result<Commit, Status> {
    control::decode_commit(record)
        .map_err(|_| unreadable(journal::Error::Corrupt { sequence, reason: "it cannot be read" }))
}

fn unreadable(failed: journal::Error) -> Status {
    tracing::warn!(error = %failed, "the audit log cannot be read");
    error::internal("a record of the journal cannot be read: `gander audit verify` says which")
}
