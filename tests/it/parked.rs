//! Parked records: listed, read, evaluated again, deleted; nothing is opened twice.

use anyhow::Context;
use bytes::Bytes;
use domain::id::{AlertId, InstanceId, ServiceId, TokenId};
use domain::incident::incident_id;
use domain::reach::Reach;
use e2e::admin::{Admin, filter, payload};
use e2e::events::{connect, incident_events};
use e2e::process::run;
use e2e::rig::{Plan, Rig, Role};
use e2e::wait::eventually;
use runtime::clock::{Clock, SystemClock};
use runtime::random::{Random, SystemRandom, id_bytes};
use tonic::{Code, Status};
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::stored::v1::AlertRecord;
use wire::stored::alert::{Alert, Content, Record, encode_batch, record_to};
use wire::stored::worker::Parked;
use wire::{Partition, subject};

/// One team with one service, in the only partition.
struct Stage {
    rig: Rig,
    admin: Admin,
    service: api::Service,
}

async fn stage() -> anyhow::Result<Stage> {
    let stream_args = ["--partitions", "1"].map(str::to_owned).to_vec();
    let rig = Rig::planned(Plan { stream_args, ..Plan::default() }).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let service = admin.service(&team, "Checkout", vec![filter("status")]).await?;
    Ok(Stage { rig, admin, service })
}

fn fresh<T>(from_bytes: fn([u8; 16]) -> T) -> T {
    let random: &dyn Random = &SystemRandom;
    from_bytes(id_bytes(SystemClock.now(), random))
}

/// An alert of a Global token, as a gateway stores it.
fn alert(status: &str, key: &str) -> Alert {
    Alert {
        id: fresh(AlertId::from_bytes),
        token: fresh(TokenId::from_bytes),
        reach: Reach::Global,
        received_at: SystemClock.now(),
        from: Some("Prometheus".to_owned()),
        payload: Bytes::from(payload(status, key)),
        tracked_until: None,
    }
}

fn record(alert: &Alert) -> AlertRecord {
    let content = Content::Alert(alert.clone());
    record_to(Record { partition: None, outcome_wanted: false, content, trace: None })
}

fn batch(records: Vec<AlertRecord>) -> Bytes {
    encode_batch(1, fresh(InstanceId::from_bytes), records)
}

impl Stage {
    fn service_id(&self) -> anyhow::Result<ServiceId> {
        let id = self.service.name.rsplit('/').next().context("a resource name")?;
        ServiceId::parse(id).map_err(|_| anyhow::anyhow!("{id} is no id"))
    }

    /// Stores a message; gives its sequence.
    async fn store(&self, subject: &str, payload: Bytes) -> anyhow::Result<u64> {
        let jetstream = connect(&self.rig.nats_url()).await?;
        Ok(jetstream.publish(subject.to_owned(), payload).await?.await?.sequence)
    }

    /// Parks what a worker would have parked; gives its number.
    async fn park(&self, parked: Parked) -> anyhow::Result<u64> {
        self.store(&subject::parked(Partition(0)), parked.encode()).await
    }

    /// Parks an alert of which this service's evaluation failed.
    async fn park_failed(&self, alert: &Alert, service: ServiceId) -> anyhow::Result<u64> {
        self.park(Parked {
            sequence: 1,
            record: Some(0),
            reason: "the evaluation of the filters failed".to_owned(),
            service: Some(service),
            content: Some(record(alert)),
            raw: Bytes::new(),
        })
        .await
    }

    async fn parked(&self) -> Result<Vec<api::ParkedRecord>, Status> {
        let request = api::ListParkedRecordsRequest::default();
        let page = self.admin.parked().list_parked_records(request).await?.into_inner();
        Ok(page.parked_records)
    }

    async fn get(&self, number: u64) -> Result<api::ParkedRecord, Status> {
        let request = api::GetParkedRecordRequest { name: name(number) };
        Ok(self.admin.parked().get_parked_record(request).await?.into_inner())
    }

    async fn evaluate(&self, number: u64) -> Result<api::EvaluateParkedRecordResponse, Status> {
        let request = api::EvaluateParkedRecordRequest { name: name(number) };
        Ok(self.admin.parked().evaluate_parked_record(request).await?.into_inner())
    }

    async fn delete(&self, number: u64) -> Result<(), Status> {
        let request = api::DeleteParkedRecordRequest { name: name(number) };
        self.admin.parked().delete_parked_record(request).await.map(drop)
    }

    async fn kinds(&self) -> anyhow::Result<Vec<String>> {
        let events = incident_events(&self.rig.nats_url()).await?;
        let kind = |text: &str| text.split('.').nth(2).unwrap_or_default().to_owned();
        Ok(events.iter().map(|event| kind(&event.r#type)).collect())
    }
}

fn name(number: u64) -> String {
    format!("parkedRecords/{number}")
}

fn created() -> api::EvaluateParkedRecordResponse {
    api::EvaluateParkedRecordResponse { created: true, ..Default::default() }
}

fn code<T>(result: &Result<T, Status>) -> Option<Code> {
    result.as_ref().err().map(Status::code)
}

fn reason<T>(result: Result<T, Status>) -> Option<String> {
    let status = result.err()?;
    tonic_types::StatusExt::get_details_error_info(&status).map(|info| info.reason)
}

#[tokio::test]
async fn what_a_worker_cannot_read_is_shown_and_can_only_be_deleted() -> anyhow::Result<()> {
    let stage = stage().await?;
    let garbage = stage.store(subject::ALERTS, Bytes::from_static(b"\xff garbage")).await?;
    let broken = AlertRecord { partition: Some(0), ..AlertRecord::default() };
    let good = alert("firing", "a");
    let message = batch(vec![record(&good), broken]);
    let second = stage.store(subject::ALERTS, message).await?;
    eventually("two records are parked", async || {
        (stage.parked().await.ok()?.len() == 2).then_some(())
    })
    .await?;
    assert_eq!(stage.kinds().await?, ["created"], "what can be read beside it is evaluated");

    let listed = stage.parked().await?;
    let places: Vec<_> = listed.iter().map(|one| (one.alerts_sequence, one.record)).collect();
    assert_eq!(places, [(garbage, None), (second, Some(1))]);
    for one in &listed {
        assert!(!one.readable && one.alerts.is_empty() && one.raw.is_empty(), "{one:?}");
        assert!(one.park_time.is_some() && one.service.is_empty(), "{one:?}");
        let number = one.name.rsplit('/').next().unwrap_or_default().parse()?;
        assert!(!stage.get(number).await?.raw.is_empty());
        let refused = stage.evaluate(number).await;
        assert_eq!(code(&refused), Some(Code::FailedPrecondition));
        assert_eq!(reason(refused).as_deref(), Some("PARKED_RECORD_UNREADABLE"));
        stage.delete(number).await?;
        assert_eq!(code(&stage.delete(number).await), Some(Code::NotFound));
    }
    assert!(stage.parked().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_failed_service_evaluates_again_and_no_other_service_does() -> anyhow::Result<()> {
    let stage = stage().await?;
    let team = stage.service.name.split("/services").next().unwrap_or_default().to_owned();
    let team = api::Team { name: team, ..Default::default() };
    stage.admin.service(&team, "Refunds", vec![filter("status")]).await?;
    let alert = alert("firing", "a");
    let number = stage.park_failed(&alert, stage.service_id()?).await?;

    let shown = stage.get(number).await?;
    assert!(shown.readable);
    assert_eq!((shown.service.as_str(), shown.alerts.len()), (stage.service.name.as_str(), 1));
    assert_eq!(shown.alerts[0].payload, alert.payload);
    assert_eq!(shown.alerts[0].from, "Prometheus");
    assert!(stage.parked().await?[0].alerts[0].payload.is_empty(), "not in lists");

    assert_eq!(stage.evaluate(number).await?, created());
    let events = incident_events(&stage.rig.nats_url()).await?;
    assert_eq!(events.len(), 1);
    let incident = events[0].incident.clone().unwrap_or_default();
    assert!(incident.name.starts_with(&stage.service.name), "{}", incident.name);
    assert_eq!(incident.id, incident_id(alert.id, stage.service_id()?).to_string());
    assert_eq!(incident.create_time, Some(wire::event::time(alert.received_at)));
    assert!(stage.parked().await?.is_empty());
    assert_eq!(code(&stage.evaluate(number).await), Some(Code::NotFound));
    Ok(())
}

#[tokio::test]
async fn a_message_that_a_newer_build_reads_is_evaluated_whole() -> anyhow::Result<()> {
    let stage = stage().await?;
    let (first, second) = (alert("firing", "a"), alert("firing", "b"));
    let third = alert("resolved", "a");
    let number = stage
        .park(Parked {
            sequence: 7,
            record: None,
            reason: "of a newer version".to_owned(),
            service: None,
            content: None,
            raw: batch([&first, &second, &third].map(record).to_vec()),
        })
        .await?;
    assert_eq!(stage.get(number).await?.alerts.len(), 3);
    let came_to = stage.evaluate(number).await?;
    assert_eq!(came_to, api::EvaluateParkedRecordResponse { resolved: true, ..created() });
    assert_eq!(stage.kinds().await?, ["created", "created", "resolved"]);
    Ok(())
}

/// Whoever did not learn that it was evaluated asks again: with the record still there.
#[tokio::test]
async fn nothing_is_opened_twice() -> anyhow::Result<()> {
    let mut stage = stage().await?;
    let service = stage.service_id()?;
    let alert = alert("firing", "a");
    let number = stage.park_failed(&alert, service).await?;
    let twin = stage.park_failed(&alert, service).await?;
    assert_eq!(stage.evaluate(number).await?, created());
    // The twin stands for the record where it was evaluated and not removed.
    let duplicate =
        api::EvaluateParkedRecordResponse { trigger_duplicate: true, ..Default::default() };
    let before = stage.park_failed(&alert, service).await?;
    assert_eq!(stage.evaluate(before).await?, duplicate, "the worker remembers");
    assert_eq!(stage.evaluate(twin).await?, created(), "its event tells that it did it");
    assert_eq!(stage.kinds().await?, ["created"]);

    // Without a worker it is not known what it comes to; what is asked twice has its effect once.
    let alert = self::alert("firing", "b");
    let number = stage.park_failed(&alert, service).await?;
    stage.rig.kill(Role::Worker(0)).await?;
    for _ in 0..2 {
        assert_eq!(code(&stage.evaluate(number).await), Some(Code::Unavailable));
    }
    stage.rig.restart(Role::Worker(0)).await?;
    eventually("the record is gone", async || stage.evaluate(number).await.ok()).await?;
    assert_eq!(stage.kinds().await?, ["created", "created"]);
    assert_eq!(stage.admin.open_incidents().await?.len(), 2);
    let counts = stage.admin.open_incidents().await?.into_iter().map(|one| one.occurrences);
    assert_eq!(counts.collect::<Vec<_>>(), [1, 1]);
    Ok(())
}

#[tokio::test]
async fn only_parked_records_can_be_reached() -> anyhow::Result<()> {
    let stage = stage().await?;
    let alert = alert("firing", "a");
    let deleted = stage.park_failed(&alert, fresh(ServiceId::from_bytes)).await?;
    assert!(stage.get(deleted).await?.service.starts_with("teams/-/services/"));
    assert_eq!(reason(stage.evaluate(deleted).await).as_deref(), Some("SERVICE_DELETED"));
    // The message before it is a checkpoint, without which a partition would begin anew.
    let other = deleted - 1;
    assert_eq!(code(&stage.get(other).await), Some(Code::NotFound));
    assert_eq!(code(&stage.evaluate(other).await), Some(Code::NotFound));
    assert_eq!(code(&stage.delete(other).await), Some(Code::NotFound));
    for wrong in ["", "parkedRecords/", "parkedRecords/0", "parkedRecords/x", "parkedRecords/1/2"] {
        let request = api::GetParkedRecordRequest { name: wrong.to_owned() };
        let refused = stage.admin.parked().get_parked_record(request).await;
        assert_eq!(code(&refused), Some(Code::InvalidArgument), "{wrong}");
    }
    Ok(())
}

#[tokio::test]
async fn the_command_line_shows_and_evaluates_them() -> anyhow::Result<()> {
    let stage = stage().await?;
    let folder = stage.rig.folder().join("cli");
    std::fs::create_dir(&folder)?;
    let server = format!("http://{}", stage.rig.grpc());
    let credential = folder.join("credential");
    runtime::secret_file::write(&credential, &stage.admin.credential)?;
    let file = credential.to_str().context("a path")?.to_owned();
    let gander = async |args: &[&str]| {
        let common = ["--server", &server, "--credential-file", &file];
        run(&folder, None, &[&["parked"], args, &common].concat()).await
    };
    let alert = alert("firing", "\u{1b}[31m");
    let number = stage.park_failed(&alert, stage.service_id()?).await?.to_string();
    let other = stage.park_failed(&alert, fresh(ServiceId::from_bytes)).await?.to_string();

    let (code, listed) = gander(&["list"]).await?;
    assert_eq!(code, 0, "{listed}");
    assert!(listed.contains(&number) && listed.contains("Payments/Checkout"), "{listed}");
    let (code, shown) = gander(&["get", &number]).await?;
    assert!(code == 0 && shown.contains("Prometheus"), "{shown}");
    let (code, sent) = gander(&["get", &number, "--payload"]).await?;
    assert_eq!((code, Bytes::from(sent)), (0, alert.payload.clone()));

    let (code, said) = gander(&["evaluate", &number]).await?;
    assert_eq!((code, said), (0, format!("{number}: an incident was created\n")));
    let (code, said) = gander(&["evaluate", &number]).await?;
    assert!(code == 3 && said.contains("it was evaluated or deleted"), "{said}");
    let (code, said) = gander(&["evaluate", "--all"]).await?;
    assert!(code == 5 && said.contains("delete the record, too"), "{said}");
    let (code, said) = gander(&["delete", &other]).await?;
    assert_eq!((code, said), (0, format!("{other} is deleted\n")));
    let (code, said) = gander(&["evaluate", "--all"]).await?;
    assert_eq!((code, said.as_str()), (0, "There is nothing to evaluate.\n"));
    Ok(())
}
