//! Settings of a gateway.
//!
//! Must not know how they are used.

use std::net::SocketAddr;
use std::time::Duration;

/// Settings of a gateway.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where alerts are received.
    #[arg(
        id = "http_listen",
        long = "http-listen",
        env = "GANDER_HTTP_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// What comes before /v1/process in the path, such as /gander.
    #[arg(long, env = "GANDER_PATH_PREFIX", value_name = "PATH", default_value = "", value_parser = path_prefix)]
    pub path_prefix: String,

    /// The largest body in bytes, after decoding.
    #[arg(long, env = "GANDER_BODY_LIMIT", value_name = "BYTES", default_value_t = 1024 * 1024, value_parser = clap::value_parser!(u64).range(1024..=4 * 1024 * 1024))]
    pub body_limit: u64,

    /// The most connections at a time.
    #[arg(long, env = "GANDER_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 10_000)]
    pub max_connections: usize,

    /// The most connections at a time from one address.
    #[arg(
        long,
        env = "GANDER_MAX_CONNECTIONS_PER_IP",
        value_name = "NUMBER",
        default_value_t = 1_000
    )]
    pub max_connections_per_ip: usize,

    /// The most bytes of bodies that are received or wait to be stored; more are answered 503. A
    /// body of unknown or encoded length counts as the limit of a body.
    #[arg(long, env = "GANDER_BODY_MEMORY", value_name = "BYTES", default_value_t = 512 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(8 * 1024 * 1024..=64 * 1024 * 1024 * 1024))]
    pub body_memory: u64,

    /// The most alerts that wait to be stored; more are answered 503.
    #[arg(long, env = "GANDER_INGEST_QUEUE", value_name = "NUMBER", default_value_t = 4_096)]
    pub ingest_queue: usize,
}

/// From the end of a request's body to its answer.
pub const ANSWER_DEADLINE: Duration = Duration::from_millis(900);
/// From the end of the body to the answer of the broker.
pub const COMMIT_DEADLINE: Duration = Duration::from_millis(800);
/// How long headers may take.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the rest of a refused body is read, so that the answer is not lost with it.
pub const DISCARD_TIMEOUT: Duration = Duration::from_millis(500);
/// How much of it is read.
pub const DISCARD_BYTES: u64 = 256 * 1024;
/// Memory for bodies is counted in pieces of this many bytes.
pub const MEMORY_PIECE: u64 = 1_024;
/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// The most bytes of a request line with its headers.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The most characters of path and query.
pub const MAX_URI: usize = 8 * 1024;

fn path_prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./~".contains(c);
    if text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.chars().all(plain))
    {
        Ok(text.to_owned())
    } else {
        Err("begins with a slash, does not end with one, has letters, digits and -_.~".to_owned())
    }
}
