//! Senders at a rate: they begin a request when it is due, whether those before were answered or not.
//!
//! Sockets and bytes that are made once, so that ten times of what a gateway can store is offered by
//! part of one processor. Must not know what lies behind the gateway.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(2);
/// Who is not answered by then is counted as that.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a sender that waits for its answers waits after it was refused.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a connection is kept for the next request; less than a gateway keeps it.
const IDLE: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const ANSWER: usize = 4_096;

/// What is sent, to whom, and how fast.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The gateway.
    pub gateway: SocketAddr,
    /// Requests, sent one after the other and then again.
    pub requests: Vec<Vec<u8>>,
    /// So many a second.
    pub rate: f64,
    /// For so long.
    pub lasts: Duration,
    /// The most connections at a time.
    pub connections: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were due while all connections waited for answers.
    pub unsent: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Of each request, by its place in the offer: sent, and answered 2xx.
    pub each: Vec<(u64, u64)>,
    /// Refusals without `Retry-After`.
    pub without_retry_after: u64,
    /// From the time at which a request was due to its refusal, in ms, in order.
    pub refused_ms: Vec<u32>,
    /// The same of those that were stored.
    pub stored_ms: Vec<u32>,
    /// Requests whose connection ended, or that were not answered at all.
    pub silent: u64,
}

impl Seen {
    /// How many were answered 2xx.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.answers.iter().filter(|(status, _)| **status < 300).map(|(_, times)| times).sum()
    }

    /// The status of answers other than 2xx and 503.
    #[must_use]
    pub fn others(&self) -> u64 {
        let other = |status: u16| status >= 300 && status != 503;
        self.answers.iter().filter(|(status, _)| other(**status)).map(|(_, times)| times).sum()
    }
}

/// Of sorted values, the one below which this share is.
#[must_use]
pub fn quantile(sorted: &[u32], share: f64) -> u32 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The bytes of a request.
#[must_use]
pub fn request(token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/process HTTP/1.1\r\nhost: gander\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends at the rate of the offer.
pub async fn open(offer: Offer) -> Seen {
    let clients = Clients::new(&offer);
    let local = LocalSet::new();
    local
        .run_until(async {
            let begun = Instant::now();
            let mut due = 0_u64;
            while begun.elapsed() < offer.lasts {
                let until = (begun.elapsed().as_secs_f64() * offer.rate) as u64;
                while due < until {
                    let at = begun + Duration::from_secs_f64(due as f64 / offer.rate);
                    let place = usize::try_from(due).unwrap_or_default() % offer.requests.len();
                    due += 1;
                    if let Some(idle) = clients.take() {
                        let (clients, request) = (clients.clone(), offer.requests[place].clone());
                        tokio::task::spawn_local(async move {
                            clients.one(idle, place, &request, at).await;
                        });
                    }
                }
                sleep(TICK).await;
            }
        })
        .await;
    local.await;
    clients.seen()
}

/// Sends over each connection as soon as the request before was answered; who is refused waits a
/// moment.
pub async fn closed(offer: Offer) -> Seen {
    let clients = Clients::new(&offer);
    let local = LocalSet::new();
    for n in 0..offer.connections {
        let (clients, offer) = (clients.clone(), offer.clone());
        local.spawn_local(async move {
            let begun = Instant::now();
            let mut at = n;
            while begun.elapsed() < offer.lasts {
                let Some(idle) = clients.take() else { return };
                let place = at % offer.requests.len();
                at += 1;
                if !clients.one(idle, place, &offer.requests[place], Instant::now()).await {
                    sleep(PAUSE).await;
                }
            }
        });
    }
    local.await;
    clients.seen()
}

#[derive(Clone)]
struct Clients {
    gateway: SocketAddr,
    /// Since when each is idle.
    idle: Rc<RefCell<Vec<(Instant, TcpStream)>>>,
    free: Rc<RefCell<usize>>,
    seen: Rc<RefCell<Seen>>,
}

struct Answer {
    status: u16,
    retry_after: bool,
    goes_on: bool,
}

impl Clients {
    fn new(offer: &Offer) -> Self {
        let each = vec![(0, 0); offer.requests.len()];
        Self {
            gateway: offer.gateway,
            idle: Rc::default(),
            free: Rc::new(RefCell::new(offer.connections)),
            seen: Rc::new(RefCell::new(Seen { each, ..Seen::default() })),
        }
    }

    /// A connection that may be used: one that is idle, or leave to open one.
    fn take(&self) -> Option<Option<TcpStream>> {
        let mut seen = self.seen.borrow_mut();
        let mut free = self.free.borrow_mut();
        if *free == 0 {
            seen.unsent += 1;
            return None;
        }
        *free -= 1;
        seen.sent += 1;
        let mut idle = self.idle.borrow_mut();
        let fresh = idle.pop().filter(|(since, _)| since.elapsed() < IDLE);
        if fresh.is_none() {
            // The others are older.
            idle.clear();
        }
        Some(fresh.map(|(_, connection)| connection))
    }

    /// Sends one; whether it was stored.
    async fn one(
        &self,
        idle: Option<TcpStream>,
        place: usize,
        request: &[u8],
        due: Instant,
    ) -> bool {
        let answer = timeout(PATIENCE, self.exchange(idle, request)).await;
        let took = u32::try_from(due.elapsed().as_millis()).unwrap_or(u32::MAX);
        *self.free.borrow_mut() += 1;
        let mut seen = self.seen.borrow_mut();
        seen.each[place].0 += 1;
        let Ok(Ok((answer, connection))) = answer else {
            seen.silent += 1;
            return false;
        };
        *seen.answers.entry(answer.status).or_default() += 1;
        if answer.status < 300 {
            seen.each[place].1 += 1;
            seen.stored_ms.push(took);
        } else {
            seen.refused_ms.push(took);
            seen.without_retry_after += u64::from(!answer.retry_after);
        }
        if answer.goes_on {
            self.idle.borrow_mut().push((Instant::now(), connection));
        }
        answer.status < 300
    }

    async fn exchange(
        &self,
        idle: Option<TcpStream>,
        request: &[u8],
    ) -> anyhow::Result<(Answer, TcpStream)> {
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = TcpStream::connect(self.gateway).await?;
                connection.set_nodelay(true)?;
                connection
            }
        };
        connection.write_all(request).await?;
        let answer = answer(&mut connection).await?;
        Ok((answer, connection))
    }

    fn seen(&self) -> Seen {
        let mut seen = self.seen.borrow().clone();
        seen.refused_ms.sort_unstable();
        seen.stored_ms.sort_unstable();
        seen
    }
}

async fn answer(connection: &mut TcpStream) -> anyhow::Result<Answer> {
    let mut bytes = vec![0; ANSWER];
    let mut length = 0;
    loop {
        let read = connection.read(&mut bytes[length..]).await?;
        anyhow::ensure!(read > 0, "the connection ended, or the answer is too long");
        length += read;
        let Some(head) = bytes[..length].windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&bytes[..head])?.to_ascii_lowercase();
        let header = |name: &str| {
            text.lines().filter_map(|line| line.split_once(": ")).find(|(found, _)| *found == name)
        };
        let body: usize = header("content-length").context("no length")?.1.parse()?;
        if length < head + 4 + body {
            continue;
        }
        return Ok(Answer {
            status: text.get(9..12).context("no status")?.parse()?,
            retry_after: header("retry-after").is_some_and(|(_, wait)| wait.parse::<u64>().is_ok()),
            goes_on: header("connection").is_none_or(|(_, said)| said != "close"),
        });
    }
}
