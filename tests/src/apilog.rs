//! Parts of the API log, put where gateways and workers put them.
//!
//! Must not know who reads them.

use std::time::Duration;

use domain::id::{AlertId, ServiceId, TokenId};
use runtime::clock::{Clock, SystemClock};
use runtime::nats::Nats;
use runtime::nats::batch::{MAX_MESSAGES, Message};
use runtime::random::{SystemRandom, id_bytes};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1 as stored;
use wire::stored::apilog::{LogPart, Part};
use wire::{header, subject};

const DEADLINE: Duration = Duration::from_secs(30);

/// Where parts are put.
#[derive(Clone, Debug)]
pub struct Parts {
    nats: Nats,
}

fn message(alert: AlertId, token: TokenId, part: Part) -> Message {
    let kind = if matches!(part, Part::Call(_)) { "call" } else { "reasons" };
    let headers = vec![(header::ALERT, alert.to_string()), (header::PART, kind.to_owned())];
    let payload = LogPart { alert, token, part }.encode();
    Message { subject: subject::apilog(token), headers, payload, expect: None }
}

/// The id of a call that comes at this moment.
#[must_use]
pub fn fresh_id() -> AlertId {
    AlertId::from_bytes(id_bytes(SystemClock.now(), &SystemRandom))
}

/// A call that was answered with this status and that these partitions tell the reasons of.
#[must_use]
pub fn call(status: u32, partitions: u64) -> stored::CallPart {
    stored::CallPart {
        received_at_micros: SystemClock.now().as_micros(),
        from: "Alertmanager".to_owned(),
        method: "POST".to_owned(),
        uri: "/v1/process?from=Alertmanager".to_owned(),
        headers: vec![stored::Header {
            name: "content-type".to_owned(),
            value: "application/json".into(),
        }],
        body_bytes: 20,
        body: Some("{\"status\": \"firing\"}".into()),
        status,
        answer: "{}".into(),
        duration_micros: 1_234,
        partitions,
        client: "127.0.0.1:40000".to_owned(),
        ..stored::CallPart::default()
    }
}

/// The reasons of a partition, all in one part.
#[must_use]
pub fn reasons(partition: u32, services: Vec<api::ServiceReasons>) -> stored::ReasonsPart {
    stored::ReasonsPart { partition, last: true, services, ..stored::ReasonsPart::default() }
}

/// The reasons of a service in which nothing matched but a trigger came to this.
#[must_use]
pub fn came_to(service: &str, trigger: api::TriggerVerdict) -> api::ServiceReasons {
    let incident = format!("{service}/incidents/{}", fresh_id());
    let opened = matches!(trigger, api::TriggerVerdict::Created | api::TriggerVerdict::Duplicate);
    api::ServiceReasons {
        service: service.to_owned(),
        filters: vec![api::FilterReasons {
            display_name: "alertmanager".to_owned(),
            conditions: vec![api::ConditionReasons {
                key: "status".to_owned(),
                contains: vec!["firing".to_owned()],
                holds: opened,
                values: 1,
                found: if opened { "firing" } else { "warn\u{1b}[2J" }.to_owned(),
                missing: if opened { "" } else { "firing" }.to_owned(),
            }],
            ..api::FilterReasons::default()
        }],
        trigger: trigger.into(),
        triggered_incident: if opened { incident } else { String::new() },
        ..api::ServiceReasons::default()
    }
}

/// The id with which a resource name ends.
///
/// # Panics
/// It ends with none.
#[must_use]
pub fn token_id(name: &str) -> TokenId {
    TokenId::parse(name.rsplit('/').next().unwrap_or_default()).expect("a token")
}

/// Services that were never made, as parts tell of them.
#[must_use]
pub fn unmatched(count: u64) -> Vec<u8> {
    let ids = (0..count).map(|_| *ServiceId::from_bytes(*fresh_id().as_bytes()).as_bytes());
    ids.flatten().collect()
}

impl Parts {
    /// Connects as any client does.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let nats = Nats::connect(url, "test").await?;
        // Once it answers, that it is connected is known everywhere.
        nats.bounds(subject::APILOG_STREAM).await?;
        Ok(Self { nats })
    }

    /// Puts a part there.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn put(&self, alert: AlertId, token: TokenId, part: Part) -> anyhow::Result<()> {
        self.put_all(token, [(alert, part)]).await
    }

    /// Puts many parts of one token there.
    ///
    /// # Errors
    /// They are not taken.
    pub async fn put_all(
        &self,
        token: TokenId,
        parts: impl IntoIterator<Item = (AlertId, Part)>,
    ) -> anyhow::Result<()> {
        let parts: Vec<_> = parts.into_iter().collect();
        for some in parts.chunks(MAX_MESSAGES) {
            let batch = some.iter().map(|(alert, part)| message(*alert, token, part.clone()));
            let batch: Vec<_> = batch.collect();
            self.nats.publish_batch(&fresh_id().to_string(), &batch, DEADLINE).await?;
        }
        Ok(())
    }

    /// Puts a whole entry there, the reasons before the call as it mostly is; gives its id.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn entry(
        &self,
        token: TokenId,
        target: &str,
        services: Vec<api::ServiceReasons>,
    ) -> anyhow::Result<AlertId> {
        let alert = fresh_id();
        self.put(alert, token, Part::Reasons(reasons(0, services))).await?;
        let call = stored::CallPart { target: target.to_owned(), ..call(202, 1) };
        self.put(alert, token, Part::Call(call)).await?;
        Ok(alert)
    }
}
