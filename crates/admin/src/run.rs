//! How admin is put together.
//!
//! Must not know single methods or commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::id::InstanceId;
use runtime::ingest::{self, Ingest};
use runtime::journal::checkpoint::{self, Checkpoints, Key};
use runtime::journal::{self, Journal, SledJournal};
use runtime::lifecycle::Shutdown;
use runtime::listen::Listener;
use runtime::nats::members::Role;
use runtime::nats::{self, Nats};
use runtime::outcomes::Outcomes;
use runtime::parts::Parts;
use runtime::places::Places;
use runtime::random::id_bytes;
use runtime::tls::{self, Certificate, Files};
use runtime::traces::Tracer;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use wire::audit::moment;
use wire::proto::DESCRIPTORS;
use wire::proto::gander::admin::v1::api_log_service_server::ApiLogServiceServer;
use wire::proto::gander::admin::v1::audit_service_server::AuditServiceServer;
use wire::proto::gander::admin::v1::catalog_service_server::CatalogServiceServer;
use wire::proto::gander::admin::v1::incident_service_server::IncidentServiceServer;
use wire::proto::gander::admin::v1::maintenance_service_server::MaintenanceServiceServer;
use wire::proto::gander::admin::v1::parked_service_server::ParkedServiceServer;
use wire::proto::gander::admin::v1::principal_service_server::PrincipalServiceServer;
use wire::proto::gander::admin::v1::status_service_server::StatusServiceServer;
use wire::proto::gander::admin::v1::token_service_server::TokenServiceServer;
use wire::stored::control::encode_commit;

use crate::bootstrap;
use crate::endings;
use crate::gateways::Gateways;
use crate::grpc::filter_test::{TRYING, WAITING};
use crate::grpc::page;
use crate::grpc::{ApiLog, Audit, Calls, Handover, Incidents, ParkedRecords, Statuses, Traced};
use crate::incoming::{CountCalls, incoming};
use crate::last_use::LastUses;
use crate::leases::{self, Leases};
use crate::measure::{self, Counted};
use crate::relay::{Relay, Sent};
use crate::start;
use crate::store::{Fatal, Writer};

/// Settings of admin.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where gRPC is served.
    #[arg(
        id = "grpc_listen",
        long = "grpc-listen",
        env = "GANDER_GRPC_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7700"
    )]
    pub listen: SocketAddr,

    /// The certificate of admin with those that signed it, PEM; with it gRPC is served over TLS.
    #[arg(
        id = "grpc_tls_cert",
        long = "grpc-tls-cert",
        env = "GANDER_GRPC_TLS_CERT",
        value_name = "FILE"
    )]
    pub tls_cert: Option<PathBuf>,

    /// The key of that certificate, PEM; others must not be able to read it.
    #[arg(
        id = "grpc_tls_key",
        long = "grpc-tls-key",
        env = "GANDER_GRPC_TLS_KEY",
        value_name = "FILE"
    )]
    pub tls_key: Option<PathBuf>,

    /// The CA certificates, PEM, that must have signed every client's certificate; clients still
    /// need a credential.
    #[arg(
        id = "grpc_client_ca",
        long = "grpc-client-ca",
        env = "GANDER_GRPC_CLIENT_CA",
        value_name = "FILE"
    )]
    pub client_ca: Option<PathBuf>,

    /// Where signed checkpoints of the audit log are kept, best on another disk or machine. Default:
    /// checkpoints in the data folder.
    #[arg(long, env = "GANDER_CHECKPOINT_FILE", value_name = "FILE")]
    pub checkpoint_file: Option<PathBuf>,
}

impl Config {
    /// Where checkpoints are kept, with this data folder.
    #[must_use]
    pub fn checkpoints(&self, data: &Path) -> PathBuf {
        self.checkpoint_file.clone().unwrap_or_else(|| bootstrap::checkpoints_path(data))
    }

    /// The certificate; none where gRPC is served in the clear.
    ///
    /// # Errors
    /// The files are not good.
    pub fn certificate(&self) -> Result<Option<Certificate>, tls::Error> {
        let (certificate, key) = (self.tls_cert.as_deref(), self.tls_key.as_deref());
        let files = Files::given("grpc", certificate, key, self.client_ca.as_deref())?;
        files.map(|files| Certificate::load("grpc", files, tls::GRPC)).transpose()
    }
}

/// Why admin stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Journal and stream cannot be made the same.
    #[error(transparent)]
    Start(#[from] start::Error),
    /// No bootstrap credential can be written.
    #[error(transparent)]
    Bootstrap(#[from] bootstrap::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Fatal),
    /// The broker cannot be reached at the start.
    #[error(transparent)]
    Nats(#[from] nats::Error),
    /// The leases of gateways cannot be followed.
    #[error(transparent)]
    Leases(#[from] leases::Error),
    /// Checkpoints of the audit log cannot be signed.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// gRPC cannot be served.
    #[error("gRPC cannot be served: {0}")]
    Serve(String),
}

const INGEST: ingest::Settings =
    ingest::Settings { queue: 256, deadline: Duration::from_secs(2), message_bytes: 256 * 1024 };
const REQUEST_LIMIT: usize = 1024 * 1024;
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// The most calls at a time on a connection; of these 64 are worked on.
const STREAMS: u32 = 100;
/// The most bytes of metadata of a call, 32 added for each entry.
const HEADER_BYTES: u32 = 16 * 1024;
/// Calls that the client takes back before they are looked at; with more the connection is closed.
const RESETS: usize = 20;
/// Calls that break the protocol; with more the connection is closed.
const ERRORS: usize = 100;

/// Where admin keeps what lasts.
#[derive(Clone, Debug)]
pub struct Home {
    /// The folder with its journal, the key of checkpoints and the bootstrap credential.
    pub data: PathBuf,
    /// The file with checkpoints.
    pub checkpoints: PathBuf,
}

/// Runs admin with what it keeps, until it is asked to stop.
///
/// # Errors
/// See [`Error`].
pub async fn run(
    listener: Listener,
    home: Home,
    parts: Parts,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let beats = parts.nats.members(Role::Gateway).await?;
    let workers = parts.nats.members(Role::Worker).await?;
    let (store, writing) = match open(&parts, &home, &shutdown).await {
        Err(Error::Store(Fatal::Stopping) | Error::Start(start::Error::Store(Fatal::Stopping))) => {
            return Ok(());
        }
        opened => opened?,
    };
    let me = InstanceId::from_bytes(id_bytes(parts.clock.now(), &*parts.random));
    let outcomes = Outcomes::listen(&parts.nats, me).await?;
    let shown = store.clone();
    let (ingest, commits) = Ingest::start(parts.nats.clone(), me, INGEST, move || {
        shown.read(domain::directory::Directory::sequence)
    });
    let (leases, watching) = Leases::start(&parts.nats, store.relayed(), Arc::clone(&parts.clock));
    let mut watching = tokio::spawn(watching);
    let gateways = Gateways { leases, beats };
    parts.check_broker("admin broker");
    let counted = Counted { gateways: gateways.clone(), workers: workers.clone() };
    let ending = tokio::spawn(endings::run(store.clone(), Arc::clone(&parts.clock)));
    let measuring = tokio::spawn(measure::run(parts.nats.clone(), counted));
    let last_uses = LastUses::default();
    let following = tokio::spawn(last_uses.clone().follow(parts.nats.clone()));
    let calls = Calls {
        store,
        last_uses,
        gateways,
        clock: parts.clock,
        trying: Places::new(TRYING.0, TRYING.1),
        waiting: Places::new(WAITING.0, WAITING.1),
        pages: page::Key::draw(&*parts.random),
        random: parts.random,
        bootstrap: bootstrap::credential_path(&home.data).into(),
    };
    let handover = Handover { ingest, outcomes, partitions: parts.streams.partitions };
    let statuses = Statuses {
        calls: calls.clone(),
        workers,
        nats: parts.nats.clone(),
        facts: parts.facts,
        me,
    };
    let services = Services::new(calls, &parts.nats, handover, statuses, &shutdown.soft);
    follow_certificate(&listener, &shutdown);
    parts.checks.started("admin");
    let mut commits = tokio::spawn(commits);
    let mut writing = tokio::spawn(parts.checks.pulse("admin").beating(writing));
    let served = tokio::select! {
        served = serve(listener, services, parts.tracer, &shutdown) => served,
        ended = &mut writing => ended_by_itself(ended),
        ended = &mut watching => ended_by_itself(ended),
        error = ended_early(&mut commits, &shutdown) => Err(error),
    };
    writing.abort();
    watching.abort();
    [commits, measuring, ending, following].iter().for_each(JoinHandle::abort);
    served
}

/// What stores commands goes on for as long as anybody may give one: before, its end is a defect.
async fn ended_early(commits: &mut JoinHandle<()>, shutdown: &Shutdown) -> Error {
    let _ = commits.await;
    if shutdown.soft.is_cancelled() {
        std::future::pending().await
    }
    Error::Serve("what stores commands has ended: the log says why".to_owned())
}

/// Uses the certificate of the listener that is in its files, also a later one.
fn follow_certificate(listener: &Listener, shutdown: &Shutdown) {
    if let Some(certificate) = listener.tls.clone() {
        tokio::spawn(certificate.follow(shutdown.soft.clone()));
    }
}

/// What it means that a task has ended while there are calls to serve.
fn ended_by_itself<E: Into<Error>>(ended: Result<Result<(), E>, JoinError>) -> Result<(), Error> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => Err(Error::Serve(panic.to_string())),
    }
}

/// Opens the journal, makes it and the stream the same, and on the very first start, or where it
/// was asked for, writes a bootstrap credential.
async fn open(
    parts: &Parts,
    home: &Home,
    shutdown: &Shutdown,
) -> Result<(crate::store::Store, impl Future<Output = Result<(), Fatal>> + Send + use<>), Error> {
    let data = &home.data;
    let path = bootstrap::journal_path(data);
    let journal = tokio::task::spawn_blocking(move || SledJournal::open(&path)).await;
    let mut journal = journal.map_err(|panic| Error::Serve(panic.to_string()))??;
    let key = Key::open_or_make(&bootstrap::checkpoint_key_path(data), &*parts.random)?;
    let mut checkpoints = Checkpoints::open(&home.checkpoints, key)?;
    let stop = &shutdown.soft;
    let at = parts.clock.now();
    let tag = id_bytes(at, &*parts.random);
    let relay = Relay::new(parts.nats.clone(), parts.streams.control_takes_batches, tag);
    let reconciled = start::reconcile(&mut journal, &mut checkpoints, &relay, (stop, at));
    let (mut directory, requests) = reconciled.await?;
    if journal.head().sequence == 0 || bootstrap::recovery_wanted(data) {
        let issued = bootstrap::issue(&mut journal, data, &*parts.clock, &*parts.random);
        let (path, commit) = issued?;
        directory.apply(&commit);
        let left = directory.snapshot(commit.changes[0].subject());
        checkpoints.sign(journal.head(), &moment(commit.at))?;
        bootstrap::recovery_done(data)?;
        let sent = Sent::new(&commit, encode_commit(&commit), &left);
        relay.store(&[sent], stop, |_| ()).await?;
        tracing::info!(path = %path.display(), "a bootstrap credential is written: it makes the first principal");
    }
    let writer = Writer {
        journal: Box::new(journal),
        checkpoints,
        relay,
        clock: Arc::clone(&parts.clock),
        directory,
        requests,
    };
    Ok(writer.start(shutdown.hard.clone()))
}

/// What is served.
struct Services {
    calls: Calls,
    api_log: ApiLog,
    audit: Audit,
    incidents: Incidents,
    parked: ParkedRecords,
    statuses: Statuses,
}

impl Services {
    fn new(
        calls: Calls,
        nats: &Nats,
        handover: Handover,
        statuses: Statuses,
        stopping: &CancellationToken,
    ) -> Self {
        let parked = ParkedRecords {
            calls: calls.clone(),
            nats: nats.clone(),
            handover: handover.clone(),
            turn: Arc::default(),
        };
        let partitions = handover.partitions;
        let incidents = Incidents::new(&calls, nats, handover, stopping);
        let audit = Audit::new(&calls, nats, stopping);
        let api_log = ApiLog::new(&calls, nats, partitions, stopping);
        Self { calls, api_log, audit, incidents, parked, statuses }
    }
}

/// Tells whoever asks that all services are there.
async fn set_serving(health: &HealthReporter) {
    health.set_serving::<CatalogServiceServer<Calls>>().await;
    health.set_serving::<MaintenanceServiceServer<Calls>>().await;
    health.set_serving::<TokenServiceServer<Calls>>().await;
    health.set_serving::<PrincipalServiceServer<Calls>>().await;
    health.set_serving::<IncidentServiceServer<Incidents>>().await;
    health.set_serving::<ParkedServiceServer<ParkedRecords>>().await;
    health.set_serving::<AuditServiceServer<Audit>>().await;
    health.set_serving::<ApiLogServiceServer<ApiLog>>().await;
    health.set_serving::<StatusServiceServer<Statuses>>().await;
}

async fn serve(
    listener: Listener,
    services: Services,
    tracer: Tracer,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Serve(error.to_string());
    let (health, health_service) = tonic_health::server::health_reporter();
    set_serving(&health).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().map_err(|error| failed(&error))?;
    // Older tools ask for this one.
    let reflection_v1alpha = reflection().build_v1alpha().map_err(|error| failed(&error))?;
    let limit = REQUEST_LIMIT;
    let Services { calls, api_log, audit, incidents, parked, statuses } = services;
    let catalog = CatalogServiceServer::new(calls.clone()).max_decoding_message_size(limit);
    let maintenance = MaintenanceServiceServer::new(calls.clone()).max_decoding_message_size(limit);
    let tokens = TokenServiceServer::new(calls.clone()).max_decoding_message_size(limit);
    let principals = PrincipalServiceServer::new(calls.clone()).max_decoding_message_size(limit);
    let incidents = IncidentServiceServer::new(incidents).max_decoding_message_size(limit);
    let parked = ParkedServiceServer::new(parked).max_decoding_message_size(limit);
    let audit = AuditServiceServer::new(audit).max_decoding_message_size(limit);
    let api_log = ApiLogServiceServer::new(api_log).max_decoding_message_size(limit);
    let statuses = StatusServiceServer::new(statuses).max_decoding_message_size(limit);
    let soft = shutdown.soft.clone();
    let hard = shutdown.hard.clone();
    let serving = Server::builder()
        .timeout(REQUEST_DEADLINE)
        .concurrency_limit_per_connection(64)
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(RESETS))
        .http2_max_local_error_reset_streams(Some(ERRORS))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .layer(CountCalls)
        .add_service(health_service)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .add_service(Traced::new(catalog, &calls, &tracer))
        .add_service(Traced::new(maintenance, &calls, &tracer))
        .add_service(Traced::new(tokens, &calls, &tracer))
        .add_service(Traced::new(principals, &calls, &tracer))
        .add_service(Traced::new(incidents, &calls, &tracer))
        .add_service(Traced::new(parked, &calls, &tracer))
        .add_service(Traced::new(api_log, &calls, &tracer))
        .add_service(Traced::new(audit, &calls, &tracer))
        .add_service(Traced::new(statuses, &calls, &tracer))
        .serve_with_incoming_shutdown(incoming(listener), async move {
            soft.cancelled().await;
            health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        });
    tokio::select! {
        served = serving => served.map_err(|error| failed(&error)),
        () = hard.cancelled() => Ok(()),
    }
}
