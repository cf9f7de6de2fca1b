//! What an alert does to a partition: a verdict in each service in scope, one after the other.
//!
//! Where the alert is tracked it is also told why; an untracked one makes no work of that. Must not
//! know batches or commands.

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::filter::Filter;
use domain::id::ServiceId;
use domain::incident::{self, Deciding, Decision, Trace, Verdict};
use domain::maintenance::WindowIds;
use domain::payload::{self, Payload};
use domain::reach::Reach;
use matcher::Scratch;
use wire::stored::alert::Alert;

use super::{By, Changes, Folding, PartitionState, Source, emit, park, parked};
use crate::reasons::{Draft, Told, View};

/// What an alert leads to in one service.
struct Decided {
    decision: Decision,
    suppressed_by: WindowIds,
}

impl Decided {
    const fn without_evaluation(verdict: Verdict) -> Self {
        let decision = Decision { events: Vec::new(), verdict, triggered: None, resolved: None };
        Self { decision, suppressed_by: WindowIds::none() }
    }
}

/// An alert as the services meet it.
pub(super) struct Seen<'a> {
    alert: incident::Alert,
    payload: &'a Payload<'a>,
    /// What may be shown of the payload.
    shown: &'a Payload<'a>,
    source: Source<'a>,
    /// The services that it may mean something to, of all partitions; none where each is asked.
    found: Option<Vec<&'a matcher::Entry>>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(
        folding: &Folding<'a>,
        alert: &Alert,
        view: View<'a>,
        source: Source<'a>,
        scratch: &mut Scratch,
    ) -> Self {
        let View { payload, shown } = view;
        Self {
            alert: alert.to_domain(),
            payload,
            shown,
            source,
            // Of a tracked one each service tells why.
            found: (!alert.is_tracked()).then(|| folding.find(alert, payload, scratch)).flatten(),
        }
    }
}

impl<'a> Folding<'a> {
    /// None where a defect keeps the index from it: then each service is asked.
    fn find(
        &self,
        alert: &Alert,
        payload: &Payload<'_>,
        scratch: &mut Scratch,
    ) -> Option<Vec<&'a matcher::Entry>> {
        let find = AssertUnwindSafe(|| self.index.find(alert.reach, payload, scratch));
        catch_unwind(find).ok()
    }

    /// Goes on with an alert from where the partition is. False if the commit is full before it is
    /// done.
    pub(super) fn alert(
        &self,
        state: &mut PartitionState,
        alert: &Alert,
        seen: &Seen<'_>,
        out: &mut Changes,
    ) -> bool {
        let partition = state.partition;
        // What this commit has closed must be stored as closed before it may be forgotten.
        if !out.touched.contains(&partition) {
            state.incidents.forget_closed(alert.received_at);
        }
        let done = match &seen.found {
            Some(found) => self.found(state, alert.reach, seen, found, out),
            None => self.services(state, alert, seen, out),
        };
        state.totals.alerts += u64::from(done);
        done
    }

    /// What an alert would come to in this partition if it came now, and why: in one more service at
    /// least after this one, and until it is `enough`. Nothing happens. The second value is the service
    /// to go on after; none where that was all.
    pub(crate) fn explain(
        &self,
        state: &PartitionState,
        alert: &Alert,
        after: Option<ServiceId>,
        enough: impl Fn() -> bool,
    ) -> (Option<Told>, Option<ServiceId>) {
        let text = payload::text(&alert.payload);
        let (payload, seen) = (Payload::new(&text), alert.to_domain());
        // Whoever asks has the payload.
        let view = View { payload: &payload, shown: &payload };
        let mut draft = Draft::begin(alert, state.partition, after);
        let mut reached = after;
        for entry in self.index.visit(alert.reach, state.partition.0, after) {
            if draft.is_full() || (reached != after && enough()) {
                return (draft.end(reached, false), reached);
            }
            reached = Some(entry.service);
            if entry.disabled {
                continue;
            }
            let decided = self.decide(state, self.deciding(&seen, entry), entry, &payload);
            let failed = || Decided::without_evaluation(Verdict::Failed);
            let decision = decided.unwrap_or_else(failed).decision;
            draft.tell(entry, alert.received_at, view, &decision);
        }
        (draft.end(reached, true), None)
    }

    const fn deciding<'s>(
        &self,
        alert: &'s incident::Alert,
        entry: &matcher::Entry,
    ) -> Deciding<'s> {
        Deciding {
            alert,
            team: entry.team,
            service: entry.service,
            identical_window: self.identical_window,
            in_maintenance: false,
        }
    }

    /// Goes on with the services in scope to which the alert may mean something. False if the commit
    /// is full before all are done.
    fn found(
        &self,
        state: &mut PartitionState,
        reach: Reach,
        seen: &Seen<'_>,
        found: &[&matcher::Entry],
        out: &mut Changes,
    ) -> bool {
        let shard = state.partition.0;
        let after = state.position.service;
        let ours = found.iter().filter(|entry| entry.shard == shard);
        for entry in ours.filter(|entry| Some(entry.service) > after) {
            if !out.has_room(self.room) {
                return false;
            }
            self.pass(state, reach, Some(entry.service));
            self.service(state, entry, seen, out);
        }
        self.pass(state, reach, None);
        true
    }

    /// Counts the services up to this one, to which the alert means nothing.
    fn pass(&self, state: &mut PartitionState, reach: Reach, before: Option<ServiceId>) {
        let (shard, after) = (state.partition.0, state.position.service);
        let passed = self.index.passed(reach, shard, after, before);
        state.totals.pass(passed.unmatched, passed.disabled);
    }

    /// Goes on with the services in scope, each of them, and tells why where the alert is tracked.
    /// False if the commit is full before all are done.
    fn services(
        &self,
        state: &mut PartitionState,
        alert: &Alert,
        seen: &Seen<'_>,
        out: &mut Changes,
    ) -> bool {
        let (partition, after) = (state.partition, state.position.service);
        let view = View { payload: seen.payload, shown: seen.shown };
        let mut draft = alert.is_tracked().then(|| Draft::begin(alert, partition, after));
        let mut done = true;
        for entry in self.index.visit(alert.reach, partition.0, after) {
            if !out.has_room(self.room) || draft.as_ref().is_some_and(|draft| draft.is_full()) {
                done = false;
                break;
            }
            let decided = self.service(state, entry, seen, out);
            if let Some(draft) = &mut draft {
                draft.tell(entry, seen.alert.received_at, view, &decided.decision);
            }
        }
        if let Some(told) = draft.and_then(|draft| draft.end(state.position.service, done)) {
            out.tell(told);
        }
        done
    }

    /// Goes on with one service.
    fn service(
        &self,
        state: &mut PartitionState,
        entry: &matcher::Entry,
        seen: &Seen<'_>,
        out: &mut Changes,
    ) -> Decided {
        out.work += weight(entry, seen.payload);
        let decided = self.decided(state, entry, seen, out);
        state.totals.count(decided.decision.verdict);
        let flags = state.position.flags.with(decided.decision.verdict, decided.suppressed_by);
        state.position.flags = flags;
        state.position.service = Some(entry.service);
        out.touched.insert(state.partition);
        decided
    }

    fn decided(
        &self,
        state: &mut PartitionState,
        entry: &matcher::Entry,
        seen: &Seen<'_>,
        out: &mut Changes,
    ) -> Decided {
        if entry.disabled {
            return Decided::without_evaluation(Verdict::Disabled);
        }
        let on = self.deciding(&seen.alert, entry);
        let Some(decided) = self.decide(state, on, entry, seen.payload) else {
            let reason = "the evaluation of the filters failed".to_owned();
            park(state, parked(seen.source, reason, Some(entry.service)), out);
            return Decided::without_evaluation(Verdict::Failed);
        };
        let cause = Some(seen.alert.cause());
        let by = By { id: Trace::Alert(seen.alert.id), cause, trace: seen.source.trace };
        emit(state, &decided.decision.events, &by, out);
        decided
    }

    /// A panic in it parks the alert and never stops the partition.
    fn decide(
        &self,
        state: &PartitionState,
        on: Deciding<'_>,
        entry: &matcher::Entry,
        payload: &Payload<'_>,
    ) -> Option<Decided> {
        let decide = || {
            let found = (self.evaluate)(entry, payload, on.alert.from.as_deref());
            let suppressed_by = match found.trigger {
                Some(_) => entry.maintenance.covering(on.alert.received_at, payload),
                None => WindowIds::default(),
            };
            let on = Deciding { in_maintenance: !suppressed_by.is_empty(), ..on };
            Decided { decision: incident::decide(&state.incidents, &on, &found), suppressed_by }
        };
        catch_unwind(AssertUnwindSafe(decide)).ok()
    }
}

/// How much work it is to hold a payload against the filters of a service.
fn weight(entry: &matcher::Entry, payload: &Payload<'_>) -> usize {
    let conditions =
        |filter: &Filter| filter.trigger.conditions.len() + usize::from(filter.resolve.is_some());
    let conditions: usize = entry.filters.iter().map(conditions).sum();
    payload.text.len() * conditions.max(1)
}
