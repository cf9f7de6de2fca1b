//! Why a tracked alert came to what it came to in the services of a partition: a part of its entry
//! in the API log, in the making.
//!
//! Pure. Made for tracked alerts only, beside the fold and never for it: nothing is decided here.
//! Must not know commits, epochs or streams.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use domain::filter::{Key, REDACTED, explain_redacted};
use domain::id::{AlertId, ServiceId, TokenId};
use domain::incident::{Decision, ResolveVerdict, TriggerVerdict, Verdict};
use domain::json::Json;
use domain::maintenance::WindowIds;
use domain::payload::Payload;
use domain::time::Timestamp;
use prost::Message;
use wire::Partition;
use wire::proto::gander::admin::v1::ServiceReasons;
use wire::proto::gander::stored::v1::ReasonsPart;
use wire::reasons::{Reasons, service_reasons};
use wire::stored::alert::Alert;

/// About the most bytes of a part: with all around it, it fits into a message of any broker.
pub const MAX_BYTES: usize = 256 * 1024;
/// Of the services in which nothing matched, so many are told in detail.
pub const MAX_OTHERS: usize = 100;
/// The most ids of services in which nothing matched.
pub const MAX_UNMATCHED: usize = 4_096;
const ID_BYTES: usize = 16;

/// A payload, and it as it may be shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What filters see.
    pub payload: &'a Payload<'a>,
    /// What people see.
    pub shown: &'a Payload<'a>,
}

/// The payload with the values at these paths replaced; none where all of it may be shown. Of what is
/// no JSON nobody can tell where they are, so nothing of it is shown.
#[must_use]
pub fn redacted(payload: &Payload<'_>, paths: &[Key]) -> Option<String> {
    if paths.is_empty() {
        return None;
    }
    let Some(mut json) = payload.json().cloned() else {
        return Some(REDACTED.to_owned());
    };
    for path in paths {
        path.replace(&mut json, &Json::String(REDACTED.into()));
    }
    Some(json.compact())
}

/// A part that is told, but for what its commit knows: the control sequence and the epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The alert.
    pub alert: AlertId,
    /// Its token.
    pub token: TokenId,
    /// What is told of it.
    pub part: ReasonsPart,
}

impl Told {
    /// About how many bytes it is.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.part.encoded_len() + 256
    }
}

/// A part in the making.
#[derive(Debug)]
pub struct Draft {
    alert: AlertId,
    token: TokenId,
    partition: Partition,
    after: Option<ServiceId>,
    matched: Services,
    others: Services,
    unmatched: Vec<ServiceId>,
    unmatched_count: u64,
    cut: bool,
}

/// Services with their reasons, in the order of their ids.
#[derive(Debug, Default)]
struct Services {
    told: Vec<(ServiceId, ServiceReasons)>,
    bytes: usize,
}

impl Services {
    fn push(&mut self, service: ServiceId, reasons: ServiceReasons) {
        self.bytes += reasons.encoded_len();
        self.told.push((service, reasons));
    }

    fn pop(&mut self) -> Option<ServiceId> {
        let (service, reasons) = self.told.pop()?;
        self.bytes -= reasons.encoded_len();
        Some(service)
    }
}

impl Draft {
    /// Nothing is told yet of what the alert comes to in the partition after this service.
    #[must_use]
    pub fn begin(alert: &Alert, partition: Partition, after: Option<ServiceId>) -> Self {
        Self {
            alert: alert.id,
            token: alert.token,
            partition,
            after,
            matched: Services::default(),
            others: Services::default(),
            unmatched: Vec::new(),
            unmatched_count: 0,
            cut: false,
        }
    }

    /// Whether the rest must be told in the next part: where something matched is told always, so
    /// that it is the commit that ends.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.matched.bytes >= MAX_BYTES
    }

    /// Tells what the alert, received at this time, came to in the next service. Of a disabled one
    /// nothing is told.
    pub fn tell(
        &mut self,
        entry: &matcher::Entry,
        at: Timestamp,
        seen: View<'_>,
        decision: &Decision,
    ) {
        match decision.verdict {
            Verdict::Disabled => {}
            Verdict::Evaluated(TriggerVerdict::None, ResolveVerdict::None) => {
                let full = self.matched.bytes + self.others.bytes >= MAX_BYTES;
                if self.others.told.len() < MAX_OTHERS && !full {
                    self.others.push(entry.service, reasons(entry, at, seen, decision));
                } else {
                    self.cut |= self.others.told.len() < MAX_OTHERS;
                    self.unmatched_count += 1;
                    if self.unmatched.len() < MAX_UNMATCHED {
                        self.unmatched.push(entry.service);
                    }
                }
            }
            Verdict::Failed | Verdict::Evaluated(..) => {
                self.matched.push(entry.service, reasons(entry, at, seen, decision));
            }
        }
    }

    /// The part, where this is the last service done and the alert is done with it or not. Nothing
    /// where the commit was full before anything was done.
    #[must_use]
    pub fn end(mut self, reached: Option<ServiceId>, done: bool) -> Option<Told> {
        if !done && reached == self.after {
            return None;
        }
        self.make_room();
        let Self { alert, token, partition, .. } = self;
        let mut services = self.matched.told;
        services.append(&mut self.others.told);
        services.sort_unstable_by_key(|(service, _)| *service);
        let bytes = |service: &ServiceId| *service.as_bytes();
        let after = self.after.map(|service| Bytes::copy_from_slice(service.as_bytes()));
        let part = ReasonsPart {
            partition: partition.0,
            after: after.unwrap_or_default(),
            last: done,
            control_sequence: 0,
            services: services.into_iter().map(|(_, reasons)| reasons).collect(),
            unmatched: self.unmatched.iter().flat_map(bytes).collect::<Vec<_>>().into(),
            unmatched_count: self.unmatched_count,
            cut: self.cut,
            epoch: 0,
        };
        Some(Told { alert, token, part })
    }

    /// Where something matched goes first: of the other services the last ones become ids.
    fn make_room(&mut self) {
        let mut left_out = Vec::new();
        while self.matched.bytes + self.others.bytes + self.unmatched.len() * ID_BYTES > MAX_BYTES
            && let Some(service) = self.others.pop()
        {
            left_out.push(service);
        }
        self.cut |= !left_out.is_empty();
        self.unmatched_count += left_out.len() as u64;
        self.unmatched.splice(0..0, left_out.into_iter().rev());
        self.unmatched.truncate(MAX_UNMATCHED);
    }
}

/// A failed evaluation is not tried again: that the reasons of a defect are missing is better than
/// to meet it twice.
fn reasons(
    entry: &matcher::Entry,
    at: Timestamp,
    seen: View<'_>,
    decision: &Decision,
) -> ServiceReasons {
    let shown = |windows: WindowIds, filters: &[_]| {
        service_reasons(&Reasons {
            team: entry.team,
            service: entry.service,
            windows,
            filters,
            verdict: decision.verdict,
            triggered: decision.triggered,
            resolved: decision.resolved,
        })
    };
    let explained = || {
        let windows = entry.maintenance.covering(at, seen.payload);
        let filters = entry.filters.as_slice();
        shown(windows, &explain_redacted(filters, seen.payload, seen.shown))
    };
    let explained = match decision.verdict {
        Verdict::Failed | Verdict::Disabled => None,
        Verdict::Evaluated(..) => catch_unwind(AssertUnwindSafe(explained)).ok(),
    };
    explained.unwrap_or_else(|| shown(WindowIds::default(), &[]))
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod tests;
