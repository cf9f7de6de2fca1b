//! What a worker tells of tracked alerts, as GANDER_APILOG has it.

use std::time::Duration;

use bytes::Bytes;
use domain::id::{AlertId, InstanceId, TokenId};
use domain::reach::Reach;
use e2e::admin::{filter, payload};
use e2e::events::{connect, incident_events, stored};
use e2e::rig::Rig;
use e2e::wait::eventually;
use runtime::clock::{Clock, SystemClock};
use runtime::random::{Random, SystemRandom, id_bytes};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1::ReasonsPart;
use wire::stored::alert::{Alert, Content, Record, encode_batch, record_to};
use wire::stored::apilog::{LogPart, Part};
use wire::{header, subject};

fn fresh<T>(from_bytes: fn([u8; 16]) -> T) -> T {
    let random: &dyn Random = &SystemRandom;
    from_bytes(id_bytes(SystemClock.now(), random))
}

/// An alert of a Global token, as a gateway stores it, tracked for so long after its arrival.
fn alert(status: &str, tracked_for: Option<Duration>) -> Alert {
    let received_at = SystemClock.now();
    Alert {
        id: fresh(AlertId::from_bytes),
        token: fresh(TokenId::from_bytes),
        reach: Reach::Global,
        received_at,
        from: None,
        payload: Bytes::from(payload(status, "a")),
        tracked_until: tracked_for.map(|span| received_at.plus(span)),
    }
}

fn batch(alerts: &[&Alert]) -> Bytes {
    let record = |alert: &&Alert| {
        let content = Content::Alert((*alert).clone());
        record_to(Record { partition: None, outcome_wanted: false, content, trace: None })
    };
    encode_batch(1, fresh(InstanceId::from_bytes), alerts.iter().map(record).collect())
}

/// The reasons in the log, with the ids of their alerts as the headers have them.
async fn reasons(rig: &Rig) -> anyhow::Result<Vec<(String, ReasonsPart)>> {
    let stored = stored(&rig.nats_url(), subject::APILOG_STREAM, subject::APILOG_ALL).await?;
    let mut found = Vec::new();
    for message in stored {
        let part = LogPart::decode(&message.payload)?;
        assert_eq!(message.subject, subject::apilog(part.token));
        assert_eq!(message.headers[header::ALERT], part.alert.to_string());
        if let Part::Reasons(reasons) = part.part {
            assert_eq!(message.headers[header::PART], "reasons");
            found.push((part.alert.to_string(), reasons));
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_tracked_alert_is_told_by_every_partition_and_an_untracked_one_by_none()
-> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    let hour = Duration::from_secs(3_600);
    let (untracked, over) = (alert("firing", None), alert("firing", Some(Duration::ZERO)));
    let (fires, fits_nothing) = (alert("firing", Some(hour)), alert("waiting", Some(hour)));
    let message = batch(&[&untracked, &over, &fires, &fits_nothing]);
    let jetstream = connect(&rig.nats_url()).await?;
    jetstream.publish(subject::ALERTS, message).await?.await?;

    let told = eventually("all partitions tell of both", async || {
        let told = reasons(&rig).await.ok()?;
        (told.iter().filter(|(_, part)| part.last).count() >= 2 * 16).then_some(told)
    })
    .await?;
    let tracked = [fires.id.to_string(), fits_nothing.id.to_string()];
    assert!(told.iter().all(|(alert, _)| tracked.contains(alert)));
    let of = |id: &String| {
        let parts = told.iter().filter(|(alert, _)| alert == id);
        parts.flat_map(|(_, part)| part.services.clone()).collect::<Vec<_>>()
    };
    let (first, second) = (of(&tracked[0]), of(&tracked[1]));
    assert_eq!((first.len(), second.len()), (1, 1));
    // What is told is stored before what it leads to.
    let opened = eventually("an incident", async || {
        incident_events(&rig.nats_url()).await.ok()?.into_iter().next()
    })
    .await?;
    let incident = opened.incident.clone().unwrap_or_default();
    assert_eq!(incident.alert, untracked.id.to_string());
    assert_eq!(first[0].service, service.name);
    assert_eq!(first[0].trigger(), api::TriggerVerdict::Duplicate);
    assert_eq!(first[0].triggered_incident, incident.name);
    assert_eq!(second[0].trigger(), api::TriggerVerdict::Unspecified);
    let condition = &second[0].filters[0].conditions[0];
    let looked = (condition.found.as_str(), condition.missing.as_str(), condition.holds);
    assert_eq!(looked, ("waiting", "firing", false));
    Ok(())
}
