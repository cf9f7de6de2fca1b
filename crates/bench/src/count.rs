//! Hot functions, each as often as it is asked: what a counter of instructions counts.
//!
//! `make instructions` runs each twice, without a round and with many, so that what is made before is not
//! counted. Must not know the counter.

use std::hint::black_box;

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use domain::filter::Match;
use domain::id::{AlertId, InstanceId, TokenId};
use domain::payload::Payload;
use domain::reach::Reach;
use domain::secret::{Kind, Secret};
use domain::time::Timestamp;
use matcher::{Index, Scratch};
use wire::stored::alert::{Alert, Content, Record, decode_batch, encode_batch, record_to};

use crate::catalog::{self, Catalog};
use crate::tokens;

/// A function that each alert, or each batch of them, runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hot {
    /// A payload of 1 KB is parsed and held against 10,000 filters.
    Match,
    /// A token's secret is read and looked up among 1,000.
    Token,
    /// A batch of 100 alerts is encoded and decoded.
    Batch,
}

/// What is run, and how often.
#[derive(Clone, Debug, Args)]
pub struct Count {
    /// What.
    #[arg(value_enum)]
    what: Hot,
    /// How often.
    #[arg(long)]
    rounds: u32,
}

/// Runs it.
pub fn run(args: &Count) -> anyhow::Result<()> {
    match args.what {
        Hot::Match => matches(args.rounds),
        Hot::Token => token(args.rounds),
        Hot::Batch => batch(args.rounds),
    }
}

fn matches(rounds: u32) -> anyhow::Result<()> {
    let catalog = Catalog::new(1, catalog::Kind::Usual, 10_000, 1_000)?;
    let index = Index::of(catalog.entries.iter().cloned());
    let mut scratch = Scratch::default();
    for text in catalog.payloads.iter().cycle().take(rounds as usize) {
        let payload = Payload::new(text);
        let found = index.find(Reach::Global, &payload, &mut scratch);
        let came = found.into_iter().map(|entry| matcher::evaluate(entry, &payload, None));
        let came = came.filter(|came| *came != Match::default()).count();
        anyhow::ensure!(came == catalog::MATCHES, "{came} filters match");
    }
    Ok(())
}

fn token(rounds: u32) -> anyhow::Result<()> {
    let directory = tokens::directory(1_000)?;
    let texts = tokens::texts(0..1_000);
    let now = Timestamp::from_micros(1_700_000_000_000_001);
    for text in texts.iter().cycle().take(rounds as usize) {
        let digest = Secret::parse(Kind::Token, text)?.digest();
        black_box(directory.admitted(&digest, now).context("a token that is not known")?);
    }
    Ok(())
}

fn batch(rounds: u32) -> anyhow::Result<()> {
    let payload = Bytes::from(vec![b'x'; 1_000]);
    let record = |n: u8| Record {
        partition: None,
        outcome_wanted: true,
        content: Content::Alert(Alert {
            id: AlertId::from_bytes([n; 16]),
            token: TokenId::from_bytes([1; 16]),
            reach: Reach::Global,
            received_at: Timestamp::from_micros(1_700_000_000_000_000),
            from: None,
            payload: payload.clone(),
            tracked_until: None,
        }),
        trace: None,
    };
    for _ in 0..rounds {
        let records = (0..100).map(|n| record_to(record(n))).collect();
        let encoded = encode_batch(7, InstanceId::from_bytes([1; 16]), records);
        let decoded = decode_batch(&black_box(encoded))?;
        anyhow::ensure!(decoded.records.len() == 100, "records are missing");
    }
    Ok(())
}
