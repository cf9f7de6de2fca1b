//! Cases sent over many connections at a time, and what the answers were.
//!
//! A client sends a case, closes its side, and reads to the end: nothing may be left open. Must not
//! know how cases are made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::answers;
use super::grammar::{Case, Grammar};
use crate::http_status::Errors;

/// Where a request is refused before its end, a client that still sends may see a reset instead of
/// the answer: only longer ones can be in the middle of sending.
const LONG: usize = 16 * 1024;
/// Failures that are told; others are counted.
const TOLD: usize = 10;

/// How cases are sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The number of the first case.
    pub first: u64,
    /// How many.
    pub requests: u64,
    /// Connections at a time.
    pub clients: u64,
    /// How long the end may be away after the last byte.
    pub patience: Duration,
}

/// What became of cases.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Answers by status and code; status 0 where there was none.
    pub answers: BTreeMap<(u16, String), u64>,
    /// The longest time from the last byte to the end, and the case.
    pub longest: (Duration, u64),
    /// Cases that took longer than a second, by kind.
    pub late: BTreeMap<&'static str, u64>,
    /// Failures, by the number of their case.
    pub failures: BTreeMap<u64, String>,
    /// How many failures there were.
    pub failed: u64,
}

/// Sends all cases of a plan.
///
/// # Errors
/// A client panicked.
pub async fn run(gateway: SocketAddr, grammar: Arc<Grammar>, plan: Plan) -> anyhow::Result<Report> {
    let errors = Arc::new(Errors::read()?);
    let (next, report) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Report::default())));
    let mut clients = JoinSet::new();
    for client in 0..plan.clients {
        let (next, report) = (Arc::clone(&next), Arc::clone(&report));
        let (grammar, errors) = (Arc::clone(&grammar), Arc::clone(&errors));
        clients.spawn(async move {
            // From addresses of their own, as no firewall is in between.
            let host = u8::try_from(client % 250).unwrap_or_default() + 2;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= plan.requests {
                    break;
                }
                let case = grammar.case(plan.first + n);
                let seen =
                    send(gateway, Ipv4Addr::new(127, 0, 1, host), &case, plan.patience).await;
                let judged = seen.and_then(|seen| judged(&case, seen, &errors, &grammar.token));
                report.lock().expect("no client panics").add(
                    plan.first + n,
                    &case,
                    &grammar.token,
                    judged,
                );
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client?;
    }
    let report = Arc::into_inner(report).expect("all clients have ended");
    Ok(report.into_inner().expect("no client panics"))
}

/// What came back.
struct Seen {
    bytes: Vec<u8>,
    reset: bool,
    took: Duration,
}

async fn connect(gateway: SocketAddr, from: Ipv4Addr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    Ok(socket.connect(gateway).await?)
}

async fn send(
    gateway: SocketAddr,
    from: Ipv4Addr,
    case: &Case,
    patience: Duration,
) -> anyhow::Result<Seen> {
    let (mut read, mut write) = connect(gateway, from).await?.into_split();
    let mut bytes = Vec::new();
    let mut reset = false;
    let reading = async {
        loop {
            match read.read_buf(&mut bytes).await {
                Ok(0) => return anyhow::Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    reset = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let writing = async {
        // It may answer and close in the middle.
        let _ = write.write_all(&case.bytes).await;
        let _ = write.shutdown().await;
        Instant::now()
    };
    let ended = async {
        let (sent, read) = tokio::join!(writing, reading);
        read.map(|()| sent.elapsed())
    };
    match timeout(patience + Duration::from_secs(4), ended).await {
        Ok(took) => Ok(Seen { bytes, reset, took: took? }),
        Err(_) => anyhow::bail!("hangs"),
    }
    .and_then(|seen| {
        ensure!(seen.took <= patience, "hangs: the end came after {:?}", seen.took);
        Ok(seen)
    })
}

/// The answers, judged.
fn judged(
    case: &Case,
    seen: Seen,
    errors: &Errors,
    token: &str,
) -> anyhow::Result<(Vec<(u16, String)>, Duration)> {
    let mut found = Vec::new();
    if case.frames || seen.bytes.get(3..5).is_some_and(|kind| kind == [4, 0]) {
        // Which frames end a connection is h2's business; that it ends is ours.
        return Ok((vec![(2, "frames".to_owned())], seen.took));
    }
    let mut rest = seen.bytes.as_slice();
    while !rest.is_empty() {
        let bodiless = case.bodiless && found.is_empty();
        let Some((answer, after)) = answers::first(rest, bodiless)? else {
            ensure!(seen.reset, "an answer breaks off: {:?}", String::from_utf8_lossy(rest));
            break;
        };
        rest = after;
        if answer.status == 100 {
            continue;
        }
        if !bodiless {
            answers::judge(errors, &answer, token)?;
        }
        if found.is_empty() && !case.expected.is_empty() {
            let (status, expected) = (answer.status, case.expected);
            ensure!(expected.contains(&status), "{status} {} for {expected:?}", answer.code());
        }
        found.push((answer.status, answer.code()));
    }
    let lost = seen.reset && case.bytes.len() > LONG;
    ensure!(!found.is_empty() || lost || !case.answered, "no answer, reset: {}", seen.reset);
    Ok((found, seen.took))
}

impl Report {
    fn add(
        &mut self,
        number: u64,
        case: &Case,
        token: &str,
        judged: anyhow::Result<(Vec<(u16, String)>, Duration)>,
    ) {
        *self.kinds.entry(case.kind).or_default() += 1;
        match judged {
            Ok((answers, took)) => {
                if answers.is_empty() {
                    *self.answers.entry((0, "closed without an answer".to_owned())).or_default() +=
                        1;
                }
                for answer in answers {
                    *self.answers.entry(answer).or_default() += 1;
                }
                self.longest = self.longest.max((took, number));
                if took > Duration::from_secs(1) {
                    *self.late.entry(case.kind).or_default() += 1;
                }
            }
            Err(error) => {
                self.failed += 1;
                if self.failures.len() < TOLD {
                    let text = format!(
                        "{} ({}): {error:#}\n{}",
                        number,
                        case.kind,
                        printf(&case.bytes, token)
                    );
                    self.failures.insert(number, text);
                }
            }
        }
    }

    /// In words: a table of kinds and one of answers.
    #[must_use]
    pub fn told(&self) -> String {
        let mut text = String::from("kind of request        sent\n");
        for (kind, count) in &self.kinds {
            let _ = writeln!(text, "{kind:<20} {count:>8}");
        }
        text.push_str("answer                      times\n");
        for ((status, code), count) in &self.answers {
            let _ = writeln!(text, "{status:<3} {code:<20} {count:>8}");
        }
        for failure in self.failures.values() {
            let _ = writeln!(text, "FAILED case {failure}");
        }
        let _ = write!(
            text,
            "{} cases, {} failed, the latest {:.0} ms after its last byte (case {}), later than a second: {:?}",
            self.kinds.values().sum::<u64>(),
            self.failed,
            self.longest.0.as_secs_f64() * 1_000.0,
            self.longest.1,
            self.late,
        );
        text
    }
}

/// Bytes as a command of a shell that writes them, with `TOKEN` for the token; long ones are cut.
fn printf(bytes: &[u8], token: &str) -> String {
    const MOST: usize = 2_000;
    let mut text = String::from("printf '");
    for byte in bytes.iter().take(MOST) {
        match byte {
            b' '..=b'~' if !b"'\\%".contains(byte) => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push('\'');
    text = text.replace(token, "TOKEN");
    if bytes.len() > MOST {
        let _ = write!(text, " # the first {MOST} of {} bytes", bytes.len());
    }
    text
}
