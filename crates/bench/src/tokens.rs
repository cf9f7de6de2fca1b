//! A million tokens: how long one is looked up, what they take, how long roles need to start.
//!
//! Must not know how tokens are kept.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use domain::aggregate::Actor;
use domain::commit::{Change, Commit};
use domain::directory::Directory;
use domain::id::TokenId;
use domain::name::DisplayName;
use domain::reach::Reach;
use domain::secret::{Kind, Secret};
use domain::time::Timestamp;
use domain::token::Event;
use e2e::alerts;
use e2e::rig::{Plan, Rig, Role};
use runtime::journal::{Error, Head, Journal, SledJournal};
use serde::Serialize;
use wire::stored::control::{decode_commit, encode_commit};

use crate::machine::resident_bytes;
use crate::median;
use crate::progress::Progress;

/// How many tokens there are.
const TOKENS: usize = 1_000_000;
/// How often it is measured how long one is looked up.
const TURNS: usize = 9;
/// From one token that is looked up to the next; it has no divisor in common with their number.
const STRIDE: usize = 7_919;
/// Commits that are appended to a journal at once.
const GROUP: usize = 1_000;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a million tokens cost.
#[derive(Clone, Debug, Serialize)]
pub struct Tokens {
    /// How many.
    pub tokens: usize,
    /// The digest of a secret alone, nanoseconds.
    pub digest_ns: f64,
    /// Looking a secret up, its digest included, nanoseconds: in a thousand tokens, and in all, where
    /// none is looked up twice.
    pub check_ns: [f64; 2],
    /// Memory of the view, bytes for each token.
    pub bytes_each: f64,
    /// Opening the journal, following its chain and folding it, seconds.
    pub journal_s: f64,
    /// From the start of admin to ready, with a stream that has nothing of it, seconds.
    pub admin_first_s: f64,
    /// The same once the stream has it all.
    pub admin_s: f64,
    /// From the start of a gateway to ready, seconds.
    pub gateway_s: f64,
    /// The memory of that gateway, bytes for each token.
    pub gateway_bytes_each: f64,
}

/// Measures all of it.
pub async fn measure(progress: &Progress) -> anyhow::Result<Tokens> {
    progress.say("tokens: looking one up");
    let few = check_ns(&directory(1_000)?)?;
    let before = resident_bytes(own_pid()?)?;
    let all = directory(TOKENS)?;
    let bytes = resident_bytes(own_pid()?)?.saturating_sub(before);
    let check_ns = [few, check_ns(&all)?];
    drop(all);
    let starts = starts(progress).await?;
    Ok(Tokens {
        tokens: TOKENS,
        digest_ns: digest_ns(),
        check_ns,
        bytes_each: bytes as f64 / TOKENS as f64,
        ..starts
    })
}

fn own_pid() -> anyhow::Result<i32> {
    Ok(i32::try_from(std::process::id())?)
}

/// A directory with so many Global tokens.
pub fn directory(tokens: usize) -> anyhow::Result<Directory> {
    let mut directory = Directory::default();
    for n in 0..tokens {
        directory.apply(&commit(Head { sequence: n as u64, ..Head::default() }, n)?);
    }
    Ok(directory)
}

fn secret(n: usize) -> Secret {
    let mut random = [7; 32];
    random[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Secret::from_random(Kind::Token, &random)
}

/// The commit that makes a Global token.
fn commit(head: Head, n: usize) -> anyhow::Result<Commit> {
    let secret = secret(n);
    let mut id = [0; 16];
    // Their order is not that in which they are made, as little as that in which they come.
    id[..8].copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let event = Event::Created {
        name: DisplayName::parse(&format!("token {n}"))?,
        reach: Reach::Global,
        digest: secret.digest(),
        last_four: secret.last_four(),
        expires_at: None,
        url_parameter_allowed: true,
        unavailable_over_limit: false,
        tracked_until: None,
    };
    Ok(Commit {
        sequence: head.sequence + 1,
        previous_hash: head.hash,
        at: Timestamp::from_micros(1_700_000_000_000_000),
        actor: Actor::System,
        request: None,
        changes: vec![Change::Token(TokenId::from_bytes(id), event)],
    })
}

/// Secrets as they come in headers, of these tokens.
pub fn texts(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|n| secret(n).reveal().to_owned()).collect()
}

/// The tokens of a turn, far from each other. Of a million each has one turn, so that none is in a cache
/// from the turn before.
fn numbers(turn: usize, tokens: usize) -> impl Iterator<Item = usize> {
    let each = TOKENS / TURNS;
    (0..each).map(move |n| (turn * each + n) * STRIDE % tokens)
}

fn check_ns(directory: &Directory) -> anyhow::Result<f64> {
    let tokens = directory.tokens().count();
    let now = Timestamp::from_micros(1_700_000_000_000_001);
    let turn = |turn: usize| {
        let texts = texts(numbers(turn, tokens));
        let at = Instant::now();
        for text in &texts {
            let digest = Secret::parse(Kind::Token, black_box(text))?.digest();
            let found = directory.admitted(&digest, now).context("a token that is not known")?;
            black_box(found);
        }
        anyhow::Ok(at.elapsed().as_secs_f64() * 1e9 / texts.len() as f64)
    };
    let mut turns = (0..TURNS).map(turn).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(median(&mut turns))
}

fn digest_ns() -> f64 {
    let secrets: Vec<_> = (0..10_000).map(secret).collect();
    let at = Instant::now();
    for secret in &secrets {
        black_box(black_box(secret).digest());
    }
    at.elapsed().as_secs_f64() * 1e9 / secrets.len() as f64
}

/// Starts roles on a journal with all the tokens.
async fn starts(progress: &Progress) -> anyhow::Result<Tokens> {
    let plan = Plan { workers: 0, log: "warn".to_owned(), ..Plan::default() };
    let mut rig = Rig::planned(plan).await?;
    drop(rig.first_admin().await?);
    rig.kill(Role::Gateway(0)).await?;
    rig.kill(Role::Admin).await?;
    progress.say("tokens: writing a million commits");
    let path = rig.journal();
    let filled = tokio::task::spawn_blocking(move || fill(&path).and_then(|()| replay(&path)));
    let journal_s = filled.await??;
    progress.say("tokens: admin starts, and fills the stream");
    let admin_first_s = start(&mut rig, Role::Admin).await?;
    rig.kill(Role::Admin).await?;
    progress.say("tokens: admin starts again");
    let admin_s = start(&mut rig, Role::Admin).await?;
    progress.say("tokens: a gateway starts");
    let gateway_s = start(&mut rig, Role::Gateway(0)).await?;
    let gateway = rig.running(Role::Gateway(0))?.process.pid()?.as_raw();
    Ok(Tokens {
        tokens: TOKENS,
        digest_ns: 0.0,
        check_ns: [0.0; 2],
        bytes_each: 0.0,
        journal_s,
        admin_first_s,
        admin_s,
        gateway_s,
        gateway_bytes_each: resident_bytes(gateway)? as f64 / TOKENS as f64,
    })
}

/// Appends the commits to the journal.
fn fill(path: &Path) -> anyhow::Result<()> {
    let mut journal = SledJournal::open(path)?;
    let mut head = journal.head();
    for first in (0..TOKENS).step_by(GROUP) {
        let mut records: Vec<Bytes> = Vec::with_capacity(GROUP);
        let mut follows = head;
        for n in first..first + GROUP {
            let record = encode_commit(&commit(follows, n)?);
            follows = follows.after(&record);
            records.push(record);
        }
        head = journal.append(head.sequence, &records)?;
    }
    Ok(())
}

/// How long it takes to open the journal, follow its chain and fold it, seconds.
fn replay(path: &Path) -> anyhow::Result<f64> {
    let deadline = Instant::now() + PATIENCE;
    // Threads of sled that clean up after who filled it hold its lock for a moment.
    let (at, journal) = loop {
        let at = Instant::now();
        match SledJournal::open(path) {
            Err(Error::InUse(_)) if at < deadline => std::thread::sleep(Duration::from_millis(1)),
            opened => break (at, opened?),
        }
    };
    runtime::journal::verify(&journal, wire::stored::control::previous_hash)?;
    let mut directory = Directory::default();
    loop {
        let records = journal.read(directory.sequence(), GROUP)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            directory.apply(&decode_commit(&record)?);
        }
    }
    anyhow::ensure!(directory.tokens().count() == TOKENS, "tokens are missing");
    Ok(at.elapsed().as_secs_f64())
}

/// Seconds until a role is ready.
async fn start(rig: &mut Rig, role: Role) -> anyhow::Result<f64> {
    let at = Instant::now();
    rig.launch(role)?;
    let running = rig.running(role)?;
    loop {
        let ready = alerts::get(running.ops, "/readyz").await;
        if ready.is_ok_and(|(status, _)| status.is_success()) {
            return Ok(at.elapsed().as_secs_f64());
        }
        anyhow::ensure!(at.elapsed() < PATIENCE, "it is not ready: {}", running.process.log());
        anyhow::ensure!(running.process.runs(), "it has ended: {}", running.process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_of_a_million_has_two_turns() {
        let mut seen = vec![false; TOKENS];
        for n in (0..TURNS).flat_map(|turn| numbers(turn, TOKENS)) {
            assert!(!std::mem::replace(&mut seen[n], true), "{n}");
        }
        assert!(seen.iter().filter(|seen| !**seen).count() < TURNS);
    }
}
