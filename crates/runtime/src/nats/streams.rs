//! The streams: made when they are missing, checked when they are there.
//!
//! Must not know what their messages say.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream,
};
use futures::StreamExt;
use tokio::time::Instant;
use wire::partition::Partitions;
use wire::subject;

use super::{Error, Nats, request};

const PARTITIONS: &str = "gander-partitions";
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);
/// How long a cluster may take to elect a leader.
const LEADER_DEADLINE: Duration = Duration::from_secs(30);
/// Without a leader a request is not answered at all.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);
const BACK_OFF: Duration = Duration::from_millis(200);
/// The status with which a server says that there is no leader.
const UNAVAILABLE: usize = 503;
/// The status with which a server says that there is no such stream.
const NOT_FOUND: usize = 404;

/// How long entries of the API log are kept where nothing else is said (PRODUCT, section 7).
pub const API_LOG_DAYS: u32 = 30;
/// The most bytes of the API log where nothing else is said.
pub const API_LOG_MAX_BYTES: i64 = 1024 * 1024 * 1024;

/// How streams are made. Streams that are there keep their own settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many copies of each stream the NATS cluster keeps.
    pub replicas: usize,
    /// How many partitions there are, fixed when the streams are made.
    pub partitions: Partitions,
    /// The most bytes of accepted alerts that wait to be folded.
    pub alerts_max_bytes: i64,
    /// For how many days entries of the API log are kept.
    pub api_log_days: u32,
    /// The most bytes of the API log; the oldest entries make room for new ones.
    pub api_log_max_bytes: i64,
}

/// What is done about a stream that is missing.
#[derive(Clone, Copy, Debug)]
enum Missing {
    /// It is made: one kind of role does it, so that the others need no right to.
    Made,
    /// It is waited for.
    Awaited,
}

/// How full a stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages in it.
    pub messages: u64,
    /// Different subjects of them.
    pub subjects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most bytes that it may have; none where it has no limit of its own.
    pub max_bytes: Option<u64>,
    /// Consumers that read it.
    pub consumers: u64,
    /// The sequence of its last message.
    pub last: u64,
    /// Copies kept.
    pub replicas: u32,
    /// Which stream it is: when it was made, in nanoseconds.
    pub identity: i64,
}

/// What the streams are like.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// How many partitions there are.
    pub partitions: Partitions,
    /// The identity of the stream of alerts: its time of creation in nanoseconds.
    pub alerts_identity: i64,
    /// Whether the stream of configuration takes atomic batches. One that a build before has made does
    /// not.
    pub control_takes_batches: bool,
}

impl Nats {
    /// Makes the streams that are missing and checks those that are there.
    ///
    /// # Errors
    /// The broker cannot be reached, or a stream is not fit.
    pub async fn ensure_streams(&self, settings: &Settings) -> Result<Streams, Error> {
        self.streams(settings, Missing::Made).await
    }

    /// Waits for admin to make the streams, and checks those that this login may look at. One that may
    /// do everything need not wait, and an admin of a build before may know fewer streams.
    ///
    /// # Errors
    /// They are not there in time, or one is not fit.
    pub async fn await_streams(&self, settings: &Settings) -> Result<Streams, Error> {
        let missing = if self.door.streams().is_none() { Missing::Made } else { Missing::Awaited };
        self.streams(settings, missing).await
    }

    async fn streams(&self, settings: &Settings, missing: Missing) -> Result<Streams, Error> {
        let others = [
            control(settings),
            incidents(settings),
            apilog(settings),
            last_use(settings),
            leases(settings),
        ];
        let may_see = self.door.streams();
        let seen = |wanted: &Config| may_see.is_none_or(|may| may.contains(&&*wanted.name));
        let mut control_takes_batches = false;
        for wanted in others.into_iter().filter(seen) {
            let (found, _) = self.ensure(wanted, missing).await?;
            if found.name == subject::CONTROL_STREAM {
                control_takes_batches = found.allow_atomic_publish;
            }
        }
        let (found, identity) = self.ensure(alerts(settings), missing).await?;
        let partitions = partitions_of(&found)?;
        if partitions != settings.partitions {
            tracing::warn!(
                asked = settings.partitions.count(),
                found = partitions.count(),
                "partitions are fixed when the streams are made; the number asked for is not used"
            );
        }
        Ok(Streams { partitions, alerts_identity: identity, control_takes_batches })
    }

    async fn ensure(&self, wanted: Config, missing: Missing) -> Result<(Config, i64), Error> {
        let name = wanted.name.clone();
        let stream = self.found(&wanted, missing).await.map_err(|error| match missing {
            Missing::Made => request(format!("stream {name} cannot be made: {error}")),
            Missing::Awaited => {
                request(format!("stream {name} is not there: {error}; admin makes it"))
            }
        })?;
        // Asked once more, a server of a cluster might not know the stream yet.
        let info = stream.cached_info();
        let found = info.config.clone();
        // One that a build before has made goes on without: it is only slower.
        let optional = name == subject::CONTROL_STREAM;
        let fit = found.subjects.iter().all(|subject| wanted.subjects.contains(subject))
            && found.subjects.len() == wanted.subjects.len()
            && found.storage == StorageType::File
            && (found.allow_atomic_publish || !wanted.allow_atomic_publish || optional)
            && (found.allow_message_ttl || !wanted.allow_message_ttl)
            && (found.allow_rollup || !wanted.allow_rollup)
            && (found.deny_delete || !wanted.deny_delete)
            && (found.deny_purge || !wanted.deny_purge)
            && found.max_age.is_zero() == wanted.max_age.is_zero()
            && found.max_messages <= 0
            && (found.max_bytes <= 0 || wanted.max_bytes > 0)
            && found.discard == wanted.discard
            && found.retention == wanted.retention;
        if !fit {
            return Err(request(format!(
                "stream {name} was made by something else: its settings do not fit"
            )));
        }
        Ok((found, identity(info)))
    }

    /// A cluster that is being started has no leader that would answer yet: asks again. So does who
    /// waits for the stream.
    async fn found(&self, wanted: &Config, missing: Missing) -> Result<Stream, CreateStreamError> {
        let deadline = Instant::now() + LEADER_DEADLINE;
        let mut told = false;
        loop {
            let asked = async {
                match missing {
                    Missing::Made => self.jetstream.get_or_create_stream(wanted.clone()).await,
                    Missing::Awaited => {
                        self.jetstream.get_stream(&wanted.name).await.map_err(awaited)
                    }
                }
            };
            let error = match tokio::time::timeout(ANSWER_DEADLINE, asked).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error,
                Err(_) => CreateStreamErrorKind::TimedOut.into(),
            };
            if Instant::now() >= deadline || !passes(&error) {
                return Err(error);
            }
            if !told {
                let stream = &wanted.name;
                if error.kind() == CreateStreamErrorKind::NotFound {
                    tracing::info!(stream, "waiting for admin to make a stream");
                } else {
                    tracing::warn!(stream, %error, "waiting for a leader of JetStream");
                }
                told = true;
            }
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    /// The sequences of the first and the last message of a stream, as its leader has them.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn bounds(&self, stream: &str) -> Result<(u64, u64), Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(request)?;
        let state = stream.get_info().await.map_err(request)?.state;
        Ok((state.first_sequence, state.last_sequence))
    }
}

/// How many partitions the stream of alerts was made with.
pub(super) fn partitions_of(alerts: &Config) -> Result<Partitions, Error> {
    let partitions = alerts.metadata.get(PARTITIONS).and_then(|text| text.parse().ok());
    partitions.and_then(Partitions::new).ok_or_else(|| {
        request(format!("stream {} does not say its partitions", subject::ALERTS_STREAM))
    })
}

impl Nats {
    /// How full a stream is.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn usage(&self, stream: &str) -> Result<Usage, Error> {
        let stream = self.jetstream.get_stream(stream).await.map_err(request)?;
        Ok(usage(stream.cached_info()))
    }

    /// The same, and how many of its messages are of these subjects. The server lists each of the
    /// subjects, so they had better be few.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn counted(
        &self,
        stream: &str,
        subjects: &str,
    ) -> Result<(Usage, BTreeMap<String, u64>), Error> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(request)?;
        let mut counted = stream.info_with_subjects(subjects).await.map_err(request)?;
        let mut of_subjects = BTreeMap::new();
        while let Some(count) = counted.next().await {
            let (subject, count) = count.map_err(request)?;
            of_subjects.insert(subject, count as u64);
        }
        Ok((usage(&counted.info), of_subjects))
    }
}

fn identity(info: &Info) -> i64 {
    i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

fn usage(info: &Info) -> Usage {
    let (config, state) = (&info.config, &info.state);
    Usage {
        messages: state.messages,
        subjects: state.subjects_count,
        bytes: state.bytes,
        max_bytes: u64::try_from(config.max_bytes).ok().filter(|max| *max > 0),
        consumers: state.consumer_count as u64,
        last: state.last_sequence,
        replicas: u32::try_from(config.num_replicas).unwrap_or(u32::MAX),
        identity: identity(info),
    }
}

/// Why a stream that is awaited is not there.
fn awaited(error: GetStreamError) -> CreateStreamError {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) if error.code() == NOT_FOUND => {
            CreateStreamErrorKind::NotFound.into()
        }
        GetStreamErrorKind::JetStream(error) => CreateStreamErrorKind::JetStream(error).into(),
        GetStreamErrorKind::EmptyName => CreateStreamErrorKind::EmptyStreamName.into(),
        GetStreamErrorKind::InvalidStreamName => CreateStreamErrorKind::InvalidStreamName.into(),
        // Nobody answers.
        GetStreamErrorKind::Request => CreateStreamErrorKind::JetStreamUnavailable.into(),
    }
}

/// Whether the reason may be gone the next time: no leader yet, too few servers so far, or a stream
/// that is still to be made.
fn passes(error: &CreateStreamError) -> bool {
    match error.kind() {
        CreateStreamErrorKind::TimedOut
        | CreateStreamErrorKind::JetStreamUnavailable
        | CreateStreamErrorKind::NotFound => true,
        CreateStreamErrorKind::JetStream(error) => {
            error.code() == UNAVAILABLE || error.error_code() == ErrorCode::CLUSTER_NO_PEERS
        }
        CreateStreamErrorKind::EmptyStreamName
        | CreateStreamErrorKind::InvalidStreamName
        | CreateStreamErrorKind::DomainAndExternalSet
        | CreateStreamErrorKind::ResponseParse
        | CreateStreamErrorKind::Response => false,
    }
}

fn base(name: &str, subjects: &[&str], settings: &Settings) -> Config {
    Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        num_replicas: settings.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        ..Config::default()
    }
}

pub(super) fn control(settings: &Settings) -> Config {
    Config {
        allow_atomic_publish: true,
        deny_delete: true,
        deny_purge: true,
        ..base(subject::CONTROL_STREAM, &[subject::CONTROL_ALL], settings)
    }
}

pub(super) fn alerts(settings: &Settings) -> Config {
    let partitions = settings.partitions.count().to_string();
    Config {
        discard: DiscardPolicy::New,
        max_bytes: settings.alerts_max_bytes,
        metadata: HashMap::from([(PARTITIONS.to_owned(), partitions)]),
        ..base(subject::ALERTS_STREAM, &[subject::ALERTS], settings)
    }
}

pub(super) fn incidents(settings: &Settings) -> Config {
    let subjects =
        [subject::EVENTS_ALL, subject::STATES_ALL, subject::CHECKPOINTS_ALL, subject::PARKED_ALL];
    Config {
        allow_atomic_publish: true,
        allow_message_ttl: true,
        allow_rollup: true,
        allow_direct: true,
        ..base(subject::INCIDENTS_STREAM, &subjects, settings)
    }
}

pub(super) fn apilog(settings: &Settings) -> Config {
    Config {
        discard: DiscardPolicy::Old,
        max_age: Duration::from_secs(u64::from(settings.api_log_days) * 24 * 60 * 60),
        max_bytes: settings.api_log_max_bytes,
        allow_atomic_publish: true,
        allow_direct: true,
        ..base(subject::APILOG_STREAM, &[subject::APILOG_ALL], settings)
    }
}

/// As a KV bucket with a history of one is made.
pub(super) fn last_use(settings: &Settings) -> Config {
    Config {
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        allow_atomic_publish: true,
        allow_direct: true,
        allow_rollup: true,
        deny_delete: true,
        ..base(subject::LAST_USE_STREAM, &[subject::LAST_USE_ALL], settings)
    }
}

/// As a KV bucket with a history of one is made. In a file: a server that was started again has to know
/// the leases that are still held. Without an age limit: it would go by the time of day of the server,
/// and a clock that is set forward would remove them; admin tidies.
pub(super) fn leases(settings: &Settings) -> Config {
    Config {
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        deny_delete: true,
        ..base(subject::LEASES_STREAM, &[subject::LEASES_ALL], settings)
    }
}
