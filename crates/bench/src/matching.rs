//! The matcher: an alert against catalogs of many sizes, by the index and by a plain loop.
//!
//! Must not know how results are shown.

use std::hint::black_box;
use std::time::{Duration, Instant};

use domain::filter::Match;
use domain::payload::Payload;
use domain::reach::Reach;
use matcher::{Entry, Index, Scratch};
use serde::Serialize;

use crate::catalog::{Catalog, Kind};
use crate::median;
use crate::progress::Progress;

/// How many filters a catalog has.
const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// How many bytes a payload has.
const BYTES: [usize; 2] = [1_000, 64_000];
/// Turns of all cases; of each the median counts.
const TURNS: usize = 7;
/// How long a case takes in a turn.
const TURN: Duration = Duration::from_millis(150);

/// One alert against a catalog.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What the catalog is like.
    pub catalog: &'static str,
    /// How many filters it has.
    pub filters: usize,
    /// How large the payloads are.
    pub payload_bytes: usize,
    /// Parsing a payload, microseconds.
    pub parse_us: f64,
    /// Finding and evaluating by the index in a parsed payload, microseconds.
    pub index_us: f64,
    /// Evaluating every filter in a parsed payload, microseconds.
    pub loop_us: f64,
    /// Making the index, milliseconds.
    pub build_ms: f64,
    /// What the index takes beside the filters, bytes.
    pub memory_bytes: usize,
}

/// A change of one service in a catalog.
#[derive(Clone, Debug, Serialize)]
pub struct Update {
    /// How many filters the catalog has.
    pub filters: usize,
    /// From the change to an index in which it is in force, microseconds.
    pub in_force_us: f64,
    /// Taking over an index that was made anew, microseconds: so long evaluation waits.
    pub gap_us: f64,
}

struct Case {
    row: Row,
    catalog: Catalog,
    index: Index,
    scratch: Scratch,
    seen: [Vec<f64>; 3],
}

impl Case {
    fn new(seed: u64, kind: Kind, filters: usize, bytes: usize) -> anyhow::Result<Self> {
        let catalog = Catalog::new(seed, kind, filters, bytes)?;
        let began = Instant::now();
        let index = Index::of(catalog.entries.iter().cloned());
        let build_ms = began.elapsed().as_secs_f64() * 1e3;
        let row = Row {
            catalog: match kind {
                Kind::Usual => "usual",
                Kind::Unselective => "unselective",
            },
            filters,
            payload_bytes: bytes,
            parse_us: 0.0,
            index_us: 0.0,
            loop_us: 0.0,
            build_ms,
            memory_bytes: index.compiled().memory(),
        };
        let seen = [Vec::new(), Vec::new(), Vec::new()];
        Ok(Self { row, catalog, index, scratch: Scratch::default(), seen })
    }

    fn turn(&mut self) {
        let Self { catalog, index, scratch, .. } = self;
        let parsing = per_alert(&catalog.payloads, |payload| {
            black_box(Payload::new(black_box(payload.text())).json());
        });
        let by_index = per_alert(&catalog.payloads, |payload| {
            let found = index.find(Reach::Global, payload, scratch);
            let came = found.into_iter().filter(|entry| matches(entry, payload)).count();
            black_box(came);
        });
        let by_loop = per_alert(&catalog.payloads, |payload| {
            black_box(catalog.entries.iter().filter(|entry| matches(entry, payload)).count());
        });
        for (seen, now) in self.seen.iter_mut().zip([parsing, by_index, by_loop]) {
            seen.push(now);
        }
    }

    fn row(mut self) -> Row {
        let [parse, index, whole] = &mut self.seen;
        (self.row.parse_us, self.row.index_us, self.row.loop_us) =
            (median(parse), median(index), median(whole));
        self.row
    }
}

fn matches(entry: &Entry, payload: &Payload<'_>) -> bool {
    matcher::evaluate(entry, payload, None) != Match::default()
}

/// Microseconds for one of these payloads, which are parsed before.
fn per_alert(texts: &[String], mut work: impl FnMut(&Parsed<'_>)) -> f64 {
    let payloads: Vec<_> = texts.iter().map(|text| Parsed::new(text)).collect();
    let (mut spent, mut done) = (Duration::ZERO, 0_u32);
    let began = Instant::now();
    for payload in payloads.iter().cycle() {
        let at = Instant::now();
        work(payload);
        spent += at.elapsed();
        done += 1;
        if began.elapsed() >= TURN {
            break;
        }
    }
    spent.as_secs_f64() * 1e6 / f64::from(done)
}

/// A payload that is parsed, and its text.
struct Parsed<'a> {
    text: &'a str,
    payload: Payload<'a>,
}

impl<'a> Parsed<'a> {
    fn new(text: &'a str) -> Self {
        let payload = Payload::new(text);
        black_box(payload.json());
        Self { text, payload }
    }

    const fn text(&self) -> &'a str {
        self.text
    }
}

impl<'a> std::ops::Deref for Parsed<'a> {
    type Target = Payload<'a>;

    fn deref(&self) -> &Payload<'a> {
        &self.payload
    }
}

/// One alert against all catalogs, turn by turn.
pub fn rows(seed: u64, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let mut cases = Vec::new();
    for bytes in BYTES {
        for filters in SIZES {
            cases.push(Case::new(seed, Kind::Usual, filters, bytes)?);
        }
    }
    cases.push(Case::new(seed, Kind::Unselective, 100_000, BYTES[0])?);
    for turn in 1..=TURNS {
        progress.say(&format!("matcher, turn {turn} of {TURNS}"));
        cases.iter_mut().for_each(Case::turn);
    }
    Ok(cases.into_iter().map(Case::row).collect())
}

/// A change in a catalog of each size.
pub fn updates(seed: u64, progress: &Progress) -> anyhow::Result<Vec<Update>> {
    let mut updates = Vec::new();
    for filters in SIZES {
        progress.say(&format!("matcher, changes in {filters} filters"));
        let catalog = Catalog::new(seed, Kind::Usual, filters, BYTES[0])?;
        let mut index = Index::of(catalog.entries.iter().cloned());
        let (mut in_force, mut gaps) = (Vec::new(), Vec::new());
        for entry in catalog.entries.iter().cycle().take(21) {
            let at = Instant::now();
            index.put(entry.clone());
            in_force.push(at.elapsed().as_secs_f64() * 1e6);
            let made = index.rebuild().run();
            let at = Instant::now();
            let before = index.adopt(made);
            gaps.push(at.elapsed().as_secs_f64() * 1e6);
            drop(before);
        }
        let (in_force_us, gap_us) = (median(&mut in_force), median(&mut gaps));
        updates.push(Update { filters, in_force_us, gap_us });
    }
    Ok(updates)
}
