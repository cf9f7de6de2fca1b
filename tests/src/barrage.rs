//! Many requests with one token after the other, over raw connections, so that it is known when the
//! first byte of each was sent; and whether one that was sent after its token was dead was let in.
//!
//! Must not know how a token dies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::wait::eventually;

/// After an error, so that a gateway that stands still is not asked all the time.
const PAUSE: Duration = Duration::from_millis(20);

/// Requests on their way to some gateways.
#[derive(Debug)]
pub struct Barrage {
    shared: Arc<Shared>,
    /// One for each gateway.
    counts: Vec<Arc<Counts>>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// The token that is used, and its number; 0 for none.
    token: Mutex<(u64, String)>,
    /// Tokens up to this number are dead.
    dead: AtomicU64,
}

/// What came of the requests to a gateway.
#[derive(Debug, Default)]
pub struct Counts {
    /// By status, answers to requests that were begun while the token lived or was dying.
    pub before: Mutex<BTreeMap<u16, u64>>,
    /// By status, answers to requests that were begun after it was dead.
    pub after: Mutex<BTreeMap<u16, u64>>,
    /// By second since the start, all answers.
    pub seconds: Mutex<BTreeMap<u64, u64>>,
    /// Begun before and after, those of the token that is used now.
    now: [AtomicU64; 2],
}

impl Barrage {
    /// Starts this many connections to each gateway; they wait for a token.
    #[must_use]
    pub fn start(gateways: &[SocketAddr], connections: usize) -> Self {
        let (token, dead) = (Mutex::default(), AtomicU64::default());
        let shared = Arc::new(Shared { begun: Instant::now(), token, dead });
        let mut clients = JoinSet::new();
        let counts: Vec<_> = gateways.iter().map(|_| Arc::<Counts>::default()).collect();
        for (gateway, counts) in gateways.iter().zip(&counts) {
            for _ in 0..connections {
                clients.spawn(keep_on(*gateway, Arc::clone(&shared), Arc::clone(counts)));
            }
        }
        Self { shared, counts, clients }
    }

    /// From here on this token is used; gives its number.
    #[must_use]
    pub fn aim(&self, secret: &str) -> u64 {
        for count in self.counts.iter().flat_map(|counts| &counts.now) {
            count.store(0, Ordering::SeqCst);
        }
        let mut token = self.shared.token.lock().expect("no client panics");
        *token = (token.0 + 1, secret.to_owned());
        token.0
    }

    /// From here on the token with this number is dead.
    pub fn dead(&self, number: u64) {
        self.shared.dead.store(number, Ordering::SeqCst);
    }

    /// Waits until every gateway has answered so many with the token of now: begun while it lived, or
    /// after it was dead.
    ///
    /// # Errors
    /// They do not.
    pub async fn answered(&self, dead: bool, many: u64) -> anyhow::Result<()> {
        eventually("answers of every gateway", async || {
            let count = |counts: &Arc<Counts>| counts.now[usize::from(dead)].load(Ordering::SeqCst);
            self.counts.iter().all(|counts| count(counts) >= many).then_some(())
        })
        .await
    }

    /// Ends it; gives what came of it at each gateway.
    #[must_use]
    pub fn end(mut self) -> Vec<Arc<Counts>> {
        self.clients.abort_all();
        self.counts
    }
}

impl Counts {
    /// How many were answered.
    #[must_use]
    pub fn all(&self) -> u64 {
        let sum = |counts: &Mutex<BTreeMap<u16, u64>>| -> u64 {
            counts.lock().expect("no client panics").values().sum()
        };
        sum(&self.before) + sum(&self.after)
    }

    /// How many were answered in the second with the fewest, of those that were whole.
    #[must_use]
    pub fn slowest_second(&self) -> u64 {
        let seconds = self.seconds.lock().expect("no client panics");
        let Some((last, _)) = seconds.last_key_value() else { return 0 };
        (1..*last).map(|second| seconds.get(&second).copied().unwrap_or(0)).min().unwrap_or(0)
    }

    /// How many were begun after their token was dead.
    #[must_use]
    pub fn begun_dead(&self) -> u64 {
        self.after.lock().expect("no client panics").values().sum()
    }

    /// How many were let in that were begun after their token was dead.
    #[must_use]
    pub fn accepted_dead(&self) -> u64 {
        let after = self.after.lock().expect("no client panics");
        after.range(200..300).map(|(_, count)| count).sum()
    }

    fn note(&self, begun_dead: bool, of_now: bool, status: u16, second: u64) {
        let counts = if begun_dead { &self.after } else { &self.before };
        *counts.lock().expect("no client panics").entry(status).or_default() += 1;
        *self.seconds.lock().expect("no client panics").entry(second).or_default() += 1;
        if of_now {
            self.now[usize::from(begun_dead)].fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn keep_on(gateway: SocketAddr, shared: Arc<Shared>, counts: Arc<Counts>) {
    loop {
        let _ = connection(gateway, &shared, &counts).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connection(gateway: SocketAddr, shared: &Shared, counts: &Counts) -> anyhow::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(gateway).await?);
    stream.get_ref().set_nodelay(true)?;
    loop {
        let (number, secret) = shared.token.lock().expect("no client panics").clone();
        if number == 0 {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let request = format!(
            "POST /v1/process HTTP/1.1\r\nhost: gander\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\nprefer: respond-async\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        // Read before the first byte is sent.
        let begun_dead = shared.dead.load(Ordering::SeqCst) >= number;
        stream.get_mut().write_all(request.as_bytes()).await?;
        let status = answer(&mut stream).await?;
        let of_now = shared.token.lock().expect("no client panics").0 == number;
        counts.note(begun_dead, of_now, status, shared.begun.elapsed().as_secs());
    }
}

/// Reads an answer; gives its status.
async fn answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<u16> {
    let mut line = String::new();
    let mut status = None;
    let mut length = 0;
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "the connection has ended");
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        match (status, text.split_once(':')) {
            (None, _) => status = text.split(' ').nth(1).and_then(|code| code.parse().ok()),
            (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            (Some(_), _) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    status.context("an answer without a status")
}
