//! Mixed load for a while: every incident event that it leads to is checked against the schemas of
//! `docs/asyncapi.json`, as it is stored.
//!
//! A few seconds; the variable SOAK_MINUTES sets another time. Alerts of all kinds come with tokens
//! of all types; meanwhile somebody acknowledges and resolves incidents, announces and ends
//! maintenance, deletes and makes services.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use e2e::admin::{Admin, filter, payload, request_id};
use e2e::alerts::Sender;
use e2e::dice::mixed;
use e2e::events::{Stored, follow};
use e2e::rig::{Plan, Rig};
use e2e::wait::eventually;
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::events::v1::{IncidentEvent, ResolveReason, Urgency};

const SENDERS: u64 = 4;
/// Of each sender.
const ALERTS_EVERY: Duration = Duration::from_millis(100);
const ADMINISTRATION_EVERY: Duration = Duration::from_millis(100);
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// So many values share the episodes of a service.
const KEYS: u64 = 12;

/// An alert of some kind: of those that real tools send, and of those that nobody should.
fn alert(n: u64) -> String {
    let draw = mixed(n);
    let key = format!("key {}", (draw >> 8) % KEYS);
    let said = |value: &Value| value.to_string();
    match draw % 12 {
        0..4 => payload("firing", &key),
        4..6 => payload("resolved", &key),
        6 => said(
            &json!({"status": "firing", "key": key, "title": "\u{202e}ti\u{7}tle ü 汉字 ".repeat(200)}),
        ),
        7 => {
            said(&json!({"status": "firing", "key": "x".repeat(3_000), "title": {"a": [1, null]}}))
        }
        8 => said(
            &json!({"status": "firing", "key": key, "title": "large", "pad": "p".repeat(40_000)}),
        ),
        9 => said(
            &json!({"unmapped": "firing", "detail": (draw >> 16) % 3, "text": "é".repeat(20_000)}),
        ),
        10 => format!("status firing unmapped, no JSON at all {}\u{0}", (draw >> 16) % 3),
        _ => said(&json!([])),
    }
}

/// Opens an incident for each payload that says so, mapped to nothing.
fn unmapped() -> api::Filter {
    let contains = vec!["unmapped".to_owned(), "firing".to_owned()];
    api::Filter {
        display_name: "unmapped".to_owned(),
        trigger: Some(api::Trigger {
            urgency: Urgency::Low.into(),
            conditions: vec![api::Condition { key: String::new(), contains }],
            description_from: "text".to_owned(),
            ..api::Trigger::default()
        }),
        ..api::Filter::default()
    }
}

fn filters() -> Vec<api::Filter> {
    vec![filter("status"), unmapped()]
}

async fn send(n: u64, gateway: SocketAddr, tokens: Vec<String>, sent: Arc<AtomicU64>) {
    let sender = Sender::default();
    let mut every = interval(ALERTS_EVERY);
    for at in 0.. {
        every.tick().await;
        let number = at * SENDERS + n;
        let draw = mixed(number);
        let token = &tokens[usize::try_from(draw >> 32).unwrap_or(0) % tokens.len()];
        // Some come several times at once, as they do from tools that repeat.
        let burst = (0..=draw % 4).map(|_| sender.send(gateway, token, alert(number)));
        let answers = join_all(burst).await;
        let accepted = answers.iter().flatten().filter(|answer| answer.status.is_success());
        sent.fetch_add(accepted.count() as u64, Ordering::Relaxed);
    }
}

/// What people do meanwhile.
struct Administration {
    admin: Admin,
    team: api::Team,
    service: api::Service,
    windows: Vec<String>,
    short_lived: Option<api::Service>,
}

impl Administration {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut every = interval(ADMINISTRATION_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0.. {
            every.tick().await;
            self.step(n).await.with_context(|| format!("step {n} of administration"))?;
        }
        Ok(())
    }

    async fn step(&mut self, n: u64) -> anyhow::Result<()> {
        match n % 10 {
            0 | 3 | 5 | 8 => self.handle(n).await,
            1 => {
                let window = self.admin.window(&self.service, None, &[&["key 1"]]).await?;
                self.windows.push(window.name);
                Ok(())
            }
            6 => {
                for window in std::mem::take(&mut self.windows) {
                    self.admin.end_window(&window).await?;
                }
                Ok(())
            }
            2 => {
                let name = format!("short-lived {n}");
                self.short_lived = Some(self.admin.service(&self.team, &name, filters()).await?);
                Ok(())
            }
            9 => {
                let Some(service) = self.short_lived.take() else { return Ok(()) };
                let request = api::DeleteServiceRequest {
                    name: service.name,
                    etag: String::new(),
                    request_id: request_id(),
                };
                self.admin.catalog().delete_service(request).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Acknowledges or resolves one of the open incidents; it may be resolved before that.
    async fn handle(&self, n: u64) -> anyhow::Result<()> {
        let open = self.admin.open_incidents().await?;
        let at = usize::try_from(mixed(n)).unwrap_or(0).checked_rem(open.len());
        let Some(incident) = at.map(|at| &open[at]) else { return Ok(()) };
        let done = match n % 2 {
            0 => self.admin.acknowledge(&incident.name).await,
            _ => self.admin.resolve(&incident.name).await,
        };
        match done {
            Err(status) if status.code() == tonic::Code::FailedPrecondition => Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            done => Ok(done.map(drop)?),
        }
    }
}

/// What was seen, by what it shows that was tried.
#[derive(Debug, Default)]
struct Seen(BTreeMap<&'static str, u64>);

/// What must have been there at the end, or the load was not mixed.
const KINDS: [&str; 10] = [
    "acknowledged",
    "created",
    "repeated",
    "resolved",
    "resolved by an alert",
    "resolved by a principal",
    "resolved by a deletion",
    "unmapped",
    "payload omitted",
    "repeats of several alerts",
];

impl Seen {
    /// Takes in a message.
    ///
    /// # Errors
    /// It is no event as the document promises it.
    fn add(&mut self, message: &Stored) -> anyhow::Result<()> {
        let event = message.event()?;
        for kind in kinds(&event) {
            *self.0.entry(kind).or_default() += 1;
        }
        Ok(())
    }

    fn missing(&self) -> Vec<&str> {
        KINDS.into_iter().filter(|kind| !self.0.contains_key(kind)).collect()
    }

    fn events(&self) -> u64 {
        KINDS[..4].iter().filter_map(|kind| self.0.get(kind)).sum()
    }
}

fn kinds(event: &IncidentEvent) -> Vec<&'static str> {
    let incident = event.incident.clone().unwrap_or_default();
    let name = event.r#type.split('.').nth(2).unwrap_or_default();
    let resolved = match (name, incident.resolve_reason()) {
        ("resolved", ResolveReason::Alert) => Some(KINDS[4]),
        ("resolved", ResolveReason::Principal) => Some(KINDS[5]),
        ("resolved", ResolveReason::ServiceDeleted) => Some(KINDS[6]),
        _ => None,
    };
    let is = |kind: &'static str, so: bool| so.then_some(kind);
    KINDS[..4]
        .iter()
        .copied()
        .filter(|kind| *kind == name)
        .chain(resolved)
        .chain(is(KINDS[7], incident.mapped_value.is_empty()))
        .chain(is(KINDS[8], incident.source_payload_omitted))
        .chain(is(KINDS[9], event.alert_count > 1))
        .collect()
}

fn lasts() -> anyhow::Result<Option<Duration>> {
    let minutes = runtime::environment::variable("SOAK_MINUTES");
    let minutes = minutes.map(|text| text.parse::<u64>()).transpose()?;
    Ok(minutes.map(|minutes| Duration::from_secs(60 * minutes)))
}

/// Reads events until it is told to stop, and then those that are there yet.
async fn read(
    url: String,
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    sent: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut events = follow(&url, "GANDER_INCIDENTS", "gander.incidents.>").await?;
    let seen = || seen.lock().expect("no holder of this lock panics");
    let started = Instant::now();
    let mut report = interval(REPORT_EVERY);
    report.tick().await;
    loop {
        tokio::select! {
            biased;
            message = events.next() => seen().add(&message.context("events go on")??)?,
            _ = report.tick() => println!(
                "{} min: {} alerts accepted, {} events as promised",
                started.elapsed().as_secs() / 60, sent.load(Ordering::Relaxed), seen().events(),
            ),
            () = stop.cancelled() => return Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_mixed_load_is_as_promised() -> anyhow::Result<()> {
    let rig_plan = Plan { workers: 2, ..Plan::default() };
    let mut rig = Rig::planned(rig_plan).await?;
    let admin = rig.first_admin().await?;
    let team = admin.team("Payments").await?;
    let other = admin.team("Search").await?;
    let service = admin.service(&team, "Checkout", filters()).await?;
    admin.service(&other, "Index", filters()).await?;
    let mut tokens = Vec::new();
    for target in ["", &team.name, &service.name] {
        tokens.push(admin.token("load", target).await?.secret);
    }
    let (sent, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let reading = read(rig.nats_url(), Arc::clone(&seen), stop.clone(), Arc::clone(&sent));
    let reading = tokio::spawn(reading);
    let mut load = JoinSet::new();
    for n in 0..SENDERS {
        load.spawn(send(n, rig.gateway()?, tokens.clone(), Arc::clone(&sent)));
    }
    let administration =
        Administration { admin: admin.clone(), team, service, windows: vec![], short_lived: None };
    let mut administration = tokio::spawn(administration.run());
    match lasts()? {
        Some(lasts) => {
            if let Ok(ended) = timeout(lasts, &mut administration).await {
                ended??;
            }
        }
        // As short as it can be: until everything was there once.
        None => {
            eventually("every kind of event", async || {
                let seen = seen.lock().expect("no holder of this lock panics");
                (seen.missing().is_empty() || reading.is_finished()).then_some(())
            })
            .await?
        }
    }
    administration.abort();
    load.shutdown().await;
    stop.cancel();
    reading.await??;
    let seen = seen.lock().expect("no holder of this lock panics");
    println!("{} alerts accepted, {seen:?}", sent.load(Ordering::Relaxed));
    assert_eq!(seen.missing(), Vec::<&str>::new());
    Ok(())
}
