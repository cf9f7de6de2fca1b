//! What an alert would come to if it came now: asked of the owners of the partitions, so that open
//! incidents and maintenance count. Nothing happens, and nothing is kept.
//!
//! Must not know how owners decide.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use domain::directory::Directory;
use domain::filter::source_name;
use domain::id::{AlertId, InstanceId, TokenId};
use domain::reach::Reach;
use tokio::time::Instant;
use tonic::Status;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::alert::{Alert, Content, Record, encode_batch, record_to};
use wire::stored::apilog::{LogPart, Part, target};
use wire::subject;

use super::entry::Entry;
use super::{ApiLog, unreadable};
use crate::access::Caller;

/// How long owners have to answer; a worker that folds much answers in between.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a place may be waited for.
const PLACE: Duration = Duration::from_secs(10);

impl ApiLog {
    /// What an alert with this payload would come to, as an entry that nobody keeps. Partitions that
    /// nobody has answered for are missing in it.
    pub(super) async fn explain(
        &self,
        caller: &Caller,
        token: TokenId,
        reach: Reach,
        message: api::ExplainAlertRequest,
    ) -> Result<api::ApiLogEntry, Status> {
        let _place = self.reading(caller, Instant::now() + PLACE).await?;
        let alert = Alert {
            id: AlertId::from_bytes(self.calls.fresh_id()),
            token,
            reach,
            received_at: self.calls.now(),
            from: source_name(&message.from),
            payload: message.payload,
            tracked_until: None,
        };
        let mut entry = Entry::new(alert.id, token);
        let partitions = Content::Alert(alert.clone()).partitions(self.partitions);
        entry.add(call(&alert, partitions.0));
        self.ask(alert, partitions.0.count_ones(), &mut entry).await?;
        let mut shown = self.calls.with_token_name(entry.whole());
        for service in &mut shown.services {
            if service.trigger() == api::TriggerVerdict::Created {
                // It will have another id.
                service.triggered_incident.clear();
            }
        }
        Ok(api::ApiLogEntry { name: String::new(), request: None, answer: None, ..shown })
    }

    /// Adds what the owners of so many partitions tell.
    async fn ask(&self, alert: Alert, count: u32, entry: &mut Entry) -> Result<(), Status> {
        let id = alert.id;
        let content = Content::Alert(alert);
        let record = Record { partition: None, outcome_wanted: false, content, trace: None };
        let me = InstanceId::from_bytes(self.calls.fresh_id());
        // Workers answer once they know all that is configured now.
        let sequence = self.calls.store.read(Directory::sequence);
        let question = encode_batch(sequence, me, vec![record_to(record)]);
        let mut done = BTreeSet::new();
        let take = |answer: Bytes| {
            if let Ok(part) = LogPart::decode(&answer)
                && let Part::Reasons(reasons) = &part.part
                && part.alert == id
            {
                if reasons.last {
                    done.insert(reasons.partition);
                }
                entry.add(part);
            }
            done.len() < usize::try_from(count).unwrap_or(usize::MAX)
        };
        let asked = self.nats.ask_all(subject::EXPLAIN, question, PATIENCE, take).await;
        asked.map_err(unreadable)
    }
}

/// The part that says which partitions are to tell something.
fn call(alert: &Alert, partitions: u64) -> LogPart {
    let call = stored::CallPart {
        received_at_micros: alert.received_at.as_micros(),
        target: target(alert.reach),
        from: alert.from.clone().unwrap_or_default(),
        partitions,
        ..stored::CallPart::default()
    };
    LogPart { alert: alert.id, token: alert.token, part: Part::Call(call) }
}
