//! How an installation is: gathered from the journal, heartbeats, a roll call and the streams.
//!
//! Must not know what of it is wrong: see `judge`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::directory::Directory;
use domain::id::InstanceId;
use runtime::facts::Facts;
use runtime::nats::members::Members;
use runtime::nats::streams::Usage;
use runtime::nats::{Error, Message, Nats, Start};
use tonic::{Request, Response, Status};
use wire::event::time;
use wire::proto::gander::admin::v1 as api;
use wire::proto::gander::admin::v1::status_service_server::StatusService;
use wire::stored::member::{Member, Role};
use wire::stored::worker::Checkpoint;
use wire::subject;

use super::call::Calls;
use crate::access::About;
use crate::judge;

/// How long processes have to say what they are.
const ROLL_CALL: Duration = Duration::from_secs(1);
/// How long the broker has to tell of its streams.
const BROKER_DEADLINE: Duration = Duration::from_secs(3);

/// Serves the status. Cheap to clone.
#[derive(Clone)]
pub struct Statuses {
    /// What all calls need; the gateways that live are in it.
    pub calls: Calls,
    /// The workers that live.
    pub workers: Members,
    /// The connection.
    pub nats: Nats,
    /// What this process says of itself.
    pub facts: Facts,
    /// This admin.
    pub me: InstanceId,
}

#[tonic::async_trait]
impl StatusService for Statuses {
    async fn get_status(
        &self,
        request: Request<api::GetStatusRequest>,
    ) -> Result<Response<api::GetStatusResponse>, Status> {
        let method = "StatusService/GetStatus";
        self.calls.admit(request, method, |_| Ok(About::default()))?;
        // Read first: what is gathered after it is at least as new, unless something lags.
        let journal_sequence = self.calls.store.read(Directory::sequence);
        let (gateways, workers) = (self.calls.gateways.living(), self.workers.living());
        let living: BTreeSet<_> = gateways.keys().chain(workers.keys()).copied().collect();
        let (answers, broker) = tokio::join!(
            self.roll_call(&living),
            tokio::time::timeout(BROKER_DEADLINE, self.streams()),
        );
        let own = self.facts.member(Role::Admin, self.me, journal_sequence);
        let beats = gateways.into_iter().map(|(id, number)| (Role::Gateway, id, number));
        let beats = beats.chain(workers.into_keys().map(|id| (Role::Worker, id, 0)));
        let members = beats.map(|(role, id, number)| member(role, id, number, answers.get(&id)));
        let mut status = api::GetStatusResponse {
            time: Some(time(self.calls.now())),
            journal_sequence,
            members: std::iter::once(said(&own)).chain(members).collect(),
            ..Default::default()
        };
        match broker {
            Ok(Ok(streams)) => streams.put_into(&mut status),
            Ok(Err(_)) | Err(_) => status.problems.push(judge::broker_unavailable()),
        }
        status.problems.extend(judge::problems(&status));
        status.problems.sort_by_key(|problem| problem.severity);
        Ok(Response::new(status))
    }
}

impl Statuses {
    /// What those who live say of themselves, as far as they do in time.
    async fn roll_call(&self, living: &BTreeSet<InstanceId>) -> BTreeMap<InstanceId, Member> {
        let enough = |found: &[Member]| {
            let said: BTreeSet<_> = found.iter().map(|member| member.instance).collect();
            said.is_superset(living)
        };
        let answers = self.nats.roll_call(ROLL_CALL, enough).await.unwrap_or_default();
        answers.into_iter().map(|member| (member.instance, member)).collect()
    }

    async fn streams(&self) -> Result<Streams, Error> {
        let control = self.nats.usage(subject::CONTROL_STREAM).await?;
        let alerts = self.nats.usage(subject::ALERTS_STREAM).await?;
        let log = self.nats.usage(subject::APILOG_STREAM).await?;
        let (incidents, parked) =
            self.nats.counted(subject::INCIDENTS_STREAM, subject::PARKED_ALL).await?;
        let start = Start::LastOfEachSubject;
        let stream = subject::INCIDENTS_STREAM;
        let checkpoints = self.nats.read_all(stream, subject::CHECKPOINTS_ALL, start).await?;
        // While they are read, one may be replaced and come twice: the later one counts.
        let checkpoints: BTreeMap<_, _> = checkpoints.iter().filter_map(checkpoint).collect();
        let slowest = checkpoints.values().map(|one| one.position.sequence).min();
        let oldest_waiting = match slowest.filter(|slowest| *slowest < alerts.last) {
            Some(slowest) => self.nats.get(subject::ALERTS_STREAM, slowest + 1).await?,
            None => None,
        };
        let living = self.workers.living();
        let last = alerts.last;
        let partition = |(number, checkpoint): (u32, Checkpoint)| api::Partition {
            number,
            owner: checkpoint.owner.to_string(),
            owner_alive: living.contains_key(&checkpoint.owner),
            input_lag: last.saturating_sub(checkpoint.position.sequence),
        };
        let streams = [
            (subject::CONTROL_STREAM, control),
            (subject::ALERTS_STREAM, alerts),
            (subject::INCIDENTS_STREAM, incidents),
            (subject::APILOG_STREAM, log),
        ];
        Ok(Streams {
            streams: streams.into_iter().map(|(name, usage)| stream_of(name, &usage)).collect(),
            partitions: checkpoints.into_iter().map(partition).collect(),
            parked_records: i64::try_from(parked.values().sum::<u64>()).unwrap_or(i64::MAX),
            oldest_waiting: oldest_waiting.map(|message| time(message.stored_at)),
        })
    }
}

/// What only the broker knows.
struct Streams {
    streams: Vec<api::Stream>,
    partitions: Vec<api::Partition>,
    parked_records: i64,
    oldest_waiting: Option<wire::timestamp::Timestamp>,
}

impl Streams {
    fn put_into(self, status: &mut api::GetStatusResponse) {
        status.streams = self.streams;
        status.partitions = self.partitions;
        status.parked_records = self.parked_records;
        status.oldest_waiting_time = self.oldest_waiting;
    }
}

fn checkpoint(message: &Message) -> Option<(u32, Checkpoint)> {
    let number = message.subject.rsplit('.').next()?.parse().ok()?;
    Some((number, Checkpoint::decode(&message.payload).ok()?))
}

fn stream_of(name: &str, usage: &Usage) -> api::Stream {
    api::Stream {
        name: name.to_owned(),
        messages: usage.messages,
        bytes: usage.bytes,
        max_bytes: usage.max_bytes.unwrap_or(0),
        consumers: usage.consumers,
        last_sequence: usage.last,
        replicas: usage.replicas,
    }
}

/// A member that lives, with what it says of itself; its heartbeat counts for a gateway's sequence,
/// since revocation rests on that.
fn member(role: Role, id: InstanceId, number: u64, answer: Option<&Member>) -> api::Member {
    let mut shown = match answer {
        Some(answer) => said(answer),
        None => api::Member {
            role: role_of(role).into(),
            instance: id.to_string(),
            ..Default::default()
        },
    };
    if role == Role::Gateway {
        shown.control_sequence = number;
    }
    shown
}

fn said(member: &Member) -> api::Member {
    let certificate = |(listener, expires): &(String, domain::time::Timestamp)| api::Certificate {
        listener: listener.clone(),
        expire_time: Some(time(*expires)),
    };
    api::Member {
        role: role_of(member.role).into(),
        instance: member.instance.to_string(),
        answered: true,
        version: member.build.clone(),
        host: member.host.clone(),
        pid: member.pid,
        start_time: Some(time(member.started_at)),
        control_sequence: member.control_sequence,
        durability: member.durability.clone(),
        certificates: member.certificates.iter().map(certificate).collect(),
        api_log_redaction: member.redaction.clone(),
    }
}

const fn role_of(role: Role) -> api::MemberRole {
    match role {
        Role::Admin => api::MemberRole::Admin,
        Role::Gateway => api::MemberRole::Gateway,
        Role::Worker => api::MemberRole::Worker,
    }
}
