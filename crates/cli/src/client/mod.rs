//! Client commands: what is said to a running Gander over gRPC and HTTP.
//!
//! - `commands`: the command line. One file a noun. `names`: from names to ids. `when`: times.
//! - `tail`: following incidents. `log`: the API log. `send`: alerts. `bench`: many of them, measured.
//! - `status`: how the installation is.
//! - `tls`: whom to trust. `clear`: what may be said in the clear. `deadline`: how long is waited.
//!   `advice`: what to do where nobody answers.
//!
//! Must not know anything of the server but its contract.

mod advice;
mod audit;
mod audit_verify;
mod bench;
mod clear;
pub mod commands;
mod deadline;
mod filter;
pub mod filter_test;
mod incident;
mod log;
mod maintenance;
mod names;
mod parked;
mod principal;
mod send;
mod service;
mod status;
mod tail;
mod team;
mod tls;
mod token;
pub mod when;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use runtime::secret_file::Place;
use runtime::{environment, secret_file};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use wire::timestamp::Timestamp;

use crate::args::CLIENT_HEADING;
use crate::out::{complain, json, say, table};
use commands::{ClientCommand, PrincipalCommand};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How often the server is asked for a sign of life while an answer goes on.
const LIFE_SIGN: Duration = Duration::from_secs(15);

/// Where client commands find admin, where nothing else is said.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7700";

/// How client commands reach the server, and how results are shown.
#[derive(Clone, Debug, Args)]
pub struct Connect {
    /// Where admin serves gRPC.
    #[arg(
        long,
        global = true,
        env = "GANDER_SERVER",
        value_name = "URL",
        default_value = DEFAULT_SERVER,
        hide_env_values = true,
        help_heading = CLIENT_HEADING
    )]
    pub server: String,
    /// TLS.
    #[command(flatten)]
    pub tls: tls::Tls,
    /// Send credentials and tokens in the clear to servers with http:// on other machines.
    #[arg(long, global = true, env = "GANDER_INSECURE", help_heading = CLIENT_HEADING)]
    pub insecure: bool,
    /// The file with the credential, mode 0600; - for standard input. Default: the variable GANDER_CREDENTIAL, then
    /// ~/.config/gander/credential.
    #[arg(
        long,
        global = true,
        env = "GANDER_CREDENTIAL_FILE",
        value_name = "FILE",
        help_heading = CLIENT_HEADING
    )]
    pub credential_file: Option<PathBuf>,
    /// How long each answer is waited for.
    #[arg(
        long,
        global = true,
        env = "GANDER_TIMEOUT",
        value_name = "SPAN",
        default_value = "30s",
        value_parser = deadline::span,
        hide_env_values = true,
        help_heading = CLIENT_HEADING
    )]
    pub timeout: Duration,
    /// How results are shown.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "table",
        help_heading = CLIENT_HEADING
    )]
    pub output: Output,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables for people.
    Table,
    /// JSON for programs.
    Json,
}

impl Output {
    /// Shows a result: a table, or its JSON.
    pub fn show<T: serde::Serialize>(
        self,
        things: &[T],
        head: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Table => table(head, things.iter().map(row).collect()),
            Self::Json => say(&json(things)?),
        }
        Ok(())
    }
}

/// Where a fresh principal's credential is kept when nothing else is said.
pub fn default_credential_file() -> anyhow::Result<PathBuf> {
    let home = environment::variable("HOME").context("HOME is not set: say --credential-file")?;
    Ok(Path::new(&home).join(".config/gander/credential"))
}

/// Adds the credential to each call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection that carries a credential.
pub type Authorized = InterceptedService<deadline::Timed, Bearer>;

impl Connect {
    /// Connects with the credential that is configured.
    pub async fn open(&self) -> anyhow::Result<Authorized> {
        let variable = environment::variable("GANDER_CREDENTIAL");
        let credential = match (&self.credential_file, variable) {
            (Some(file), _) => read_secret(file)?,
            (None, Some(credential)) => credential,
            (None, None) => secret_file::read(&default_credential_file()?).context(
                "no credential: say --credential-file, or make the first principal with `gander principal create NAME --role global-admin --bootstrap-file FILE`",
            )?,
        };
        self.open_with(&credential).await
    }

    /// Where the credential is from, in words.
    fn credential(&self, command: &ClientCommand) -> String {
        let file = |file: &Path| format!("the credential in {}", file.display());
        if let ClientCommand::Principal { command: PrincipalCommand::Create { bootstrap_file, .. } } =
            command
            && let Some(path) = bootstrap_file
        {
            return file(path);
        }
        match (&self.credential_file, environment::variable("GANDER_CREDENTIAL")) {
            (Some(path), _) => file(path),
            (None, Some(_)) => "the credential in GANDER_CREDENTIAL".to_owned(),
            (None, None) => default_credential_file()
                .map_or_else(|_| "the credential".to_owned(), |path| file(&path)),
        }
    }

    /// Connects with this credential.
    pub async fn open_with(&self, credential: &str) -> anyhow::Result<Authorized> {
        let secure = self.server.starts_with("https://");
        if !secure && !self.server.starts_with("http://") {
            return Err(Usage("--server begins with https:// or http://").into());
        }
        let endpoint = Endpoint::from_shared(self.server.clone()).context("--server is no URL")?;
        clear::allow("--server", endpoint.uri(), self.insecure)?;
        // Whoever only listens would not notice that the server is gone without a word.
        let endpoint = endpoint
            .connect_timeout(CONNECT_DEADLINE)
            .http2_keep_alive_interval(LIFE_SIGN.min(self.timeout))
            .keep_alive_timeout(self.timeout);
        let endpoint = if secure { endpoint.tls_config(self.tls.for_grpc()?)? } else { endpoint };
        let connected = deadline::within(self.timeout, endpoint.connect()).await?;
        let channel = connected.map_err(|error| {
            let advice = advice::on_connecting(&error);
            anyhow::Error::new(error).context(format!("no server at {}: {advice}", self.server))
        })?;
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {credential}").parse().context("the credential is not text")?;
        value.set_sensitive(true);
        let timed = deadline::Timed::new(channel, self.timeout);
        Ok(InterceptedService::new(timed, Bearer(value)))
    }
}

/// Carries out a client command.
pub fn run(connect: &Connect, command: &ClientCommand) -> anyhow::Result<()> {
    // One processor is enough for all but load.
    let mut runtime = if matches!(command, ClientCommand::Bench(_)) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = runtime.enable_all().build()?;
    let ended = runtime.block_on(async {
        match command {
            ClientCommand::Team { command } => team::run(connect, command).await,
            ClientCommand::Service { command } => service::run(connect, command).await,
            ClientCommand::Maintenance { command } => maintenance::run(connect, command).await,
            ClientCommand::Filter { command } => filter::run(connect, command).await,
            ClientCommand::Token { command } => token::run(connect, command).await,
            ClientCommand::Principal { command } => principal::run(connect, command).await,
            ClientCommand::Incident { command } => incident::run(connect, command).await,
            ClientCommand::Parked { command } => parked::run(connect, command).await,
            ClientCommand::Audit { command } => audit::run(connect, command).await,
            ClientCommand::Log { command } => log::run(connect, command).await,
            ClientCommand::Send(args) => send::run(connect, args).await,
            ClientCommand::Bench(args) => bench::run(connect, args).await,
            ClientCommand::Status { check } => status::run(connect, *check).await,
        }
    });
    ended.map_err(|error| {
        let status = error.downcast_ref::<Status>();
        if status.is_some_and(|status| status.code() == Code::Unauthenticated)
            && !matches!(command, ClientCommand::Send(_))
        {
            let text = format!(
                "{} opens nothing here: it is unknown, replaced or expired; name another one with --credential-file",
                connect.credential(command)
            );
            return Status::unauthenticated(text).into();
        }
        match status.and_then(|status| advice::on_calling(status, &connect.server)) {
            Some(advice) => error.context(advice),
            None => error,
        }
    })
}

/// A thing that a name does not find.
#[derive(Debug, thiserror::Error)]
#[error("there is no {0}")]
pub struct NotFound(pub String);

/// A command line that does not say what it must.
#[derive(Debug, thiserror::Error)]
#[error("{0}: see --help")]
pub struct Usage(pub &'static str);

/// The exit code that tells a script what went wrong.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || error.is::<clear::Exposed>() {
        return 2;
    }
    if error.is::<NotFound>() {
        return 3;
    }
    if error.is::<tonic::transport::Error>() {
        return 6;
    }
    let status = error.downcast_ref::<Status>();
    if status.is_some_and(advice::is_unanswered) {
        return 6;
    }
    match status.map(Status::code) {
        // A field breaks a rule.
        Some(Code::InvalidArgument) => 2,
        Some(Code::NotFound) => 3,
        Some(Code::Unauthenticated | Code::PermissionDenied) => 4,
        Some(Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition) => 5,
        Some(Code::Unavailable | Code::DeadlineExceeded) => 6,
        Some(_) | None => 1,
    }
}

/// What went wrong, for a person: of an answer of the server only what it says.
pub fn explain(error: &anyhow::Error) -> String {
    let part = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<Status>() {
        Some(status) => advice::in_our_words(status.message()),
        None => cause.to_string(),
    };
    error.chain().map(part).collect::<Vec<_>>().join(": ")
}

/// Reads a secret from a file that nobody else can read, or from standard input.
pub fn read_secret(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return Ok(secret_file::short(std::io::stdin(), file)?.trim().to_owned());
    }
    Ok(secret_file::read(file)?)
}

/// Tells that a thing is deleted; a program gets what it was.
pub fn deleted<T: serde::Serialize>(output: Output, thing: &T, what: &str) -> anyhow::Result<()> {
    match output {
        Output::Table => say(&format!("{what} is deleted")),
        Output::Json => output.show(&[thing], &[], |_| vec![])?,
    }
    Ok(())
}

/// The longest payload, in bytes: gateways take no more.
const MAX_PAYLOAD: u64 = 4 * 1024 * 1024;

/// Reads a payload, or a file about payloads; - for standard input.
pub fn read_payload(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(MAX_PAYLOAD + 1).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(path);
        let file = file.with_context(|| format!("cannot read {}", path.display()))?;
        file.take(MAX_PAYLOAD + 1).read_to_end(&mut bytes)?;
    }
    anyhow::ensure!(bytes.len() as u64 <= MAX_PAYLOAD, "{} is over 4 MiB", path.display());
    anyhow::ensure!(
        !log::is_compressed(&bytes),
        "{} is compressed: filters see what is in it, so unpack it (gzip -d)",
        path.display()
    );
    Ok(bytes)
}

/// A mask that names these fields, where they are to be changed.
pub fn mask(fields: &[(&str, bool)]) -> anyhow::Result<Option<pbjson_types::FieldMask>> {
    let named = fields.iter().filter(|(_, changed)| *changed);
    let paths: Vec<_> = named.map(|(name, _)| (*name).to_owned()).collect();
    if paths.is_empty() {
        return Err(Usage("say what is to change").into());
    }
    Ok(Some(pbjson_types::FieldMask { paths }))
}

/// Takes the place where a secret is to be kept, before it is made.
pub fn prepare(file: Option<&Path>, replace: bool) -> anyhow::Result<Option<Place>> {
    Ok(file.map(|file| Place::take(file, replace)).transpose()?)
}

/// Keeps a secret that was made, before anything else can go wrong: this is the only copy, and one
/// that it replaces works no more. Where it went; none where it is to be shown.
pub fn keep(place: Option<Place>, secret: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(place) = place else { return Ok(None) };
    let path = place.path().to_owned();
    if let Err(error) = place.write(secret) {
        complain(secret);
        return Err(error).context(
            "the secret is made, and one before it works no more, but it cannot be kept: it is the line above, and not shown again",
        );
    }
    Ok(Some(path))
}

/// Tells where a secret was kept, or shows it, once.
pub fn show_secret(secret: &str, kept: Option<&Path>) {
    match kept {
        Some(file) => say(&format!("written to {}; it is not shown again", file.display())),
        None => say(&format!("{secret}\n(it is not shown again)")),
    }
}

/// A fresh request id, so that a call that is sent again has its effect once.
pub fn request_id() -> String {
    use runtime::random::Random;
    let mut bytes = [0; 16];
    runtime::random::SystemRandom.fill(&mut bytes);
    domain::id::AlertId::from_bytes(bytes).to_string()
}

/// When something stops working, for people.
pub fn shown_expiry(at: Option<&Timestamp>, expired: bool) -> String {
    format!("{}{}", shown_time(at), if expired { " (expired)" } else { "" })
}

/// The hour of a time, for people.
pub fn shown_hour(at: Option<&Timestamp>) -> String {
    let text = shown_time(at);
    text.get(..13).map_or(text.clone(), |hour| format!("{hour}h"))
}

/// A time for people.
pub fn shown_time(at: Option<&Timestamp>) -> String {
    let text = at.and_then(Timestamp::to_rfc3339).unwrap_or_else(|| "-".to_owned());
    text.get(..19).map_or(text.clone(), |day| format!("{}Z", day.replace('T', " ")))
}
