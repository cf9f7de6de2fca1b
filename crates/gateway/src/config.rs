//! Settings of a gateway.
//!
//! Must not know how they are used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use domain::filter::Key;
use runtime::tls::{self, Certificate, Files};

use crate::client::Network;

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

    /// The certificate of the gateway with those that signed it, PEM; with it alerts are received
    /// over TLS.
    #[arg(
        id = "http_tls_cert",
        long = "http-tls-cert",
        env = "GANDER_HTTP_TLS_CERT",
        value_name = "FILE"
    )]
    pub tls_cert: Option<PathBuf>,

    /// The key of that certificate, PEM; others must not be able to read it.
    #[arg(
        id = "http_tls_key",
        long = "http-tls-key",
        env = "GANDER_HTTP_TLS_KEY",
        value_name = "FILE"
    )]
    pub tls_key: Option<PathBuf>,

    /// Proxies whose X-Forwarded-For is believed: addresses or networks such as 10.0.0.0/8, with
    /// commas. Of others the header is not read.
    #[arg(long, env = "GANDER_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,

    /// How many alerts a second a token may send to this gateway on average; more are answered
    /// 429. 0: as many as it likes.
    #[arg(long, env = "GANDER_RATE_LIMIT_TOKEN", value_name = "NUMBER", default_value_t = 1_000)]
    pub rate_limit_token: u32,

    /// How many alerts a token may send at once after a quiet time; at least as many as
    /// --rate-limit-token.
    #[arg(
        long,
        env = "GANDER_RATE_LIMIT_TOKEN_BURST",
        value_name = "NUMBER",
        default_value_t = 10_000
    )]
    pub rate_limit_token_burst: u32,

    /// How many alerts a second one address may send to this gateway on average, whatever their
    /// tokens (bursts of ten times as many); of IPv6 one /64 network. Behind proxies that are not
    /// among --trusted-proxies all senders have one address. 0: as many as it likes.
    #[arg(long, env = "GANDER_RATE_LIMIT_ADDRESS", value_name = "NUMBER", default_value_t = 0)]
    pub rate_limit_address: u32,

    /// The most 401 answers a second to one address (bursts of ten times as many); beyond it, 429.
    /// Requests with a valid token do not count. 0: no limit.
    #[arg(long, env = "GANDER_RATE_LIMIT_REFUSED", value_name = "NUMBER", default_value_t = 20)]
    pub rate_limit_refused: u32,

    /// What comes before /v1/process in the path, such as /gander.
    #[arg(long, env = "GANDER_PATH_PREFIX", value_name = "PATH", default_value = "", value_parser = path_prefix)]
    pub path_prefix: String,

    /// The largest body in bytes, also after decoding; 1,024 to 4,194,304.
    #[arg(long, env = "GANDER_BODY_MAX_BYTES", value_name = "BYTES", default_value_t = 1024 * 1024, value_parser = clap::value_parser!(u64).range(1024..=4 * 1024 * 1024))]
    pub body_max_bytes: u64,

    /// The most connections at a time.
    #[arg(long, env = "GANDER_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 10_000)]
    pub max_connections: usize,

    /// The most connections at a time from one address, of IPv6 from one /64 network; trusted
    /// proxies are not counted.
    #[arg(
        long,
        env = "GANDER_MAX_CONNECTIONS_PER_IP",
        value_name = "NUMBER",
        default_value_t = 1_000
    )]
    pub max_connections_per_ip: usize,

    /// The most bytes of bodies that are received or wait to be stored; more are answered 503. A
    /// body of unknown or encoded length counts as the limit of a body. One token may have as much
    /// as is still free: alone, half.
    #[arg(long, env = "GANDER_BODY_MEMORY_MAX_BYTES", value_name = "BYTES", default_value_t = 512 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(8 * 1024 * 1024..=64 * 1024 * 1024 * 1024))]
    pub body_memory_max_bytes: u64,

    /// The most alerts that wait to be stored; more are answered 503. Fewer wait where they would
    /// not be stored in time. One token may have as many as there are places free: alone, half.
    #[arg(
        long,
        env = "GANDER_INGEST_QUEUE_MAX_RECORDS",
        value_name = "NUMBER",
        default_value_t = 4_096
    )]
    pub ingest_queue_max_records: usize,

    /// Values of JSON bodies that the API log has as REDACTED.
    #[arg(skip)]
    pub api_log_redact: Vec<Key>,

    /// For how many seconds a gateway that is told to stop still takes connections, while /readyz
    /// says that it goes: as long as a load balancer needs to notice. It is part of the time in
    /// --drain-seconds and must be below it.
    #[arg(long, env = "GANDER_DRAIN_DELAY_SECONDS", value_name = "SECONDS", default_value = "0", value_parser = drain_delay)]
    pub drain_delay_seconds: Duration,
}

impl Config {
    /// The certificate; none where alerts are received in the clear.
    ///
    /// # Errors
    /// The files are not good.
    pub fn certificate(&self) -> Result<Option<Certificate>, tls::Error> {
        let files = Files::given("http", self.tls_cert.as_deref(), self.tls_key.as_deref(), None)?;
        files.map(|files| Certificate::load("http", files, tls::HTTP)).transpose()
    }

    /// What cannot hold together in these settings, where the process has `drain` to stop.
    #[must_use]
    pub fn contradictions(&self, drain: Duration) -> Vec<String> {
        let delay = self.drain_delay_seconds;
        let late = (!delay.is_zero() && delay >= drain).then(|| {
            format!(
                "drain-delay-seconds: must be below drain-seconds, which is {}: no time would be left to finish what is begun",
                drain.as_secs_f64()
            )
        });
        let (rate, burst) = (self.rate_limit_token, self.rate_limit_token_burst);
        let small = (burst < rate).then(|| {
            format!(
                "rate-limit-token-burst: must be at least rate-limit-token, which is {rate}: a token could never send that many in a second"
            )
        });
        late.into_iter().chain(small).collect()
    }
}

/// From the end of a request's body to its answer.
pub const ANSWER_DEADLINE: Duration = Duration::from_millis(800);
/// From the end of the body to the answer of the broker.
pub const COMMIT_DEADLINE: Duration = Duration::from_millis(700);
/// How long headers may take.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the rest of a refused body is read, so that the answer is not lost with it.
pub const DISCARD_TIMEOUT: Duration = Duration::from_millis(500);
/// How much of it is read.
pub const DISCARD_BYTES: u64 = 256 * 1024;
/// The longest time between being told to stop and taking no more connections.
const MOST_DRAIN_DELAY: Duration = Duration::from_secs(300);
/// The least memory that a body counts as.
pub const LEAST_MEMORY: u64 = 1_024;
/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// The most bytes of a request line with its headers.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The most characters of path and query.
pub const MAX_URI: usize = 8 * 1024;

/// How long a connection may be open before its first request is complete.
pub const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// A connection without a request in hand for this long is closed.
pub const IDLE: Duration = Duration::from_secs(60);
/// How long a connection that is closed for that may take.
pub const LEAVE: Duration = Duration::from_secs(5);

/// HTTP/2: the most requests at a time on a connection.
pub const H2_STREAMS: u32 = 100;
/// HTTP/2: requests of a connection that are begun before others have a turn. With 4 a healthy client
/// waits four times as long while 500 connections flood, and not much more is answered.
pub const H2_TURNS: usize = 1;
/// HTTP/2: the most bytes of headers of a request, 32 added for each.
pub const H2_HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2: requests that the client takes back before they are looked at; with more the connection
/// is closed.
pub const H2_RESETS: usize = 20;
/// HTTP/2: requests that break the protocol; with more the connection is closed.
pub const H2_ERRORS: usize = 100;
/// HTTP/2: bytes of a body that may come unasked. Small, so that connections that nobody reads
/// from hold little.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// HTTP/2: bytes of all bodies of a connection that may come unasked.
pub const H2_CONNECTION_WINDOW: u32 = 256 * 1024;
/// HTTP/2: the most bytes of an answer that wait for a client.
pub const H2_SEND_BUFFER: usize = 16 * 1024;
/// HTTP/2: how often it is asked whether the client is still there.
pub const H2_PING: Duration = Duration::from_secs(20);
/// HTTP/2: how long it may take to say so.
pub const H2_PONG: Duration = Duration::from_secs(20);

fn drain_delay(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|delay| *delay <= MOST_DRAIN_DELAY);
    seconds.ok_or_else(|| "must be 0 to 300 seconds, such as 5 or 0.5".to_owned())
}

fn path_prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./~".contains(c);
    if text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.chars().all(plain))
    {
        Ok(text.to_owned())
    } else {
        Err("begins with a slash, does not end with one, has letters, digits and -_.~".to_owned())
    }
}

#[cfg(test)]
pub use tests::parsed;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        config: Config,
    }

    /// The settings that these flags make.
    pub fn parsed(flags: &str) -> Config {
        let args = ["gateway"].into_iter().chain(flags.split_whitespace());
        Arguments::try_parse_from(args).unwrap().config
    }

    fn contradictions(flags: &str, drain: u64) -> Vec<String> {
        parsed(flags).contradictions(Duration::from_secs(drain))
    }

    #[test]
    fn what_cannot_hold_together_is_told() {
        for (flags, drain) in [
            ("", 10),
            ("", 0),
            ("--drain-delay-seconds 9.5", 10),
            ("--rate-limit-token 5 --rate-limit-token-burst 5", 10),
            ("--rate-limit-token 0 --rate-limit-token-burst 0", 10),
        ] {
            assert_eq!(contradictions(flags, drain), Vec::<String>::new(), "{flags}");
        }
        let late = contradictions("--drain-delay-seconds 10", 10);
        assert!(
            late[0].starts_with("drain-delay-seconds: must be below drain-seconds, which is 10")
        );
        let both = "--drain-delay-seconds 0.5 --rate-limit-token 6 --rate-limit-token-burst 5";
        assert_eq!(contradictions(both, 0).len(), 2);
        let small = contradictions("--rate-limit-token 20000", 10);
        assert!(
            small[0]
                .starts_with("rate-limit-token-burst: must be at least rate-limit-token, which is")
        );
    }
}
