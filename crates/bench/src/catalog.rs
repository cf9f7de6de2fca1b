//! Catalogs of filters and payloads, from a seed: as many matches in a large catalog as in a small one.
//!
//! Must not know what is measured with them.

use std::sync::Arc;

use anyhow::Context;
use domain::filter::{Condition, Filter, Filters, Item, Key, Trigger, Urgency};
use domain::id::{FilterId, ServiceId, TeamId};
use domain::name::DisplayName;
use e2e::dice::Dice;
use matcher::Entry;

/// So many places do filters look at.
const KEYS: usize = 50;
/// Words that filters look for; of a rank each, by Zipf.
const WORDS: usize = 20_000;
/// Words of these ranks are in payloads: what most filters want, occurs.
const POPULAR: usize = 8;
/// So many filters match each payload, however many there are.
pub const MATCHES: usize = 3;

/// What a catalog is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two items each, at keys and of words by Zipf; few match.
    Usual,
    /// All of them want what occurs, and nothing of their own.
    Unselective,
}

/// A place and a word of a filter.
type Wish = (usize, usize);

/// Filters and the payloads that are held against them.
#[derive(Debug)]
pub struct Catalog {
    /// One filter a service.
    pub entries: Vec<Entry>,
    /// JSON texts.
    pub payloads: Vec<String>,
}

impl Catalog {
    /// A catalog of so many filters, and payloads of about so many bytes.
    pub fn new(seed: u64, kind: Kind, filters: usize, bytes: usize) -> anyhow::Result<Self> {
        let zipf = Zipf::new(WORDS);
        let keys = Zipf::new(KEYS);
        let payloads = (0..64).map(|n| payload(&mut Dice::of_case(seed, n), bytes)).collect();
        let mut dice = Dice::of_case(seed, 1 << 32);
        let mut entries = Vec::with_capacity(filters);
        for n in 0..filters {
            let wishes = match kind {
                Kind::Usual if n < MATCHES.min(filters) => [(0, 0), (1, 1)],
                Kind::Usual => seldom(&mut dice, &keys, &zipf),
                Kind::Unselective => [(n % 2, n % 2), (2, 2)],
            };
            entries.push(entry(n, wishes)?);
        }
        entries.sort_by_key(|entry| entry.service);
        Ok(Self { entries, payloads })
    }
}

/// Two wishes of which one is in no payload at least.
fn seldom(dice: &mut Dice, keys: &Zipf, words: &Zipf) -> [Wish; 2] {
    loop {
        let mut wish = || (keys.draw(dice), words.draw(dice));
        let wishes = [wish(), wish()];
        if wishes[0].0 != wishes[1].0 && wishes.iter().any(|(_, word)| *word >= POPULAR) {
            return wishes;
        }
    }
}

fn entry(n: usize, wishes: [Wish; 2]) -> anyhow::Result<Entry> {
    let conditions = wishes.into_iter().map(|(key, at)| {
        let item = Item::parse(&word(at))?;
        Condition::new(Some(Key::parse(&name(key))?), vec![item])
    });
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    let filter = Filter {
        id: FilterId::from_bytes(id(n)),
        name: DisplayName::parse("bench").context("a name")?,
        trigger: Trigger::new(Urgency::High, conditions, None, None, None)?,
        resolve: None,
    };
    Ok(Entry {
        team: TeamId::from_bytes(id(n % 100)),
        service: ServiceId::from_bytes(id(n)),
        shard: u32::try_from(n % 16)?,
        disabled: false,
        filters: Arc::new(Filters::new(vec![filter])?),
        maintenance: Arc::default(),
    })
}

fn id(n: usize) -> [u8; 16] {
    (n as u128).to_be_bytes()
}

/// Half of the keys are below an object, as labels are.
fn name(key: usize) -> String {
    match key % 2 {
        0 => format!("key{key}"),
        _ => format!("labels.key{key}"),
    }
}

/// Of 5 to 12 letters, which a rank has for ever; none is part of another.
fn word(rank: usize) -> String {
    let mut dice = Dice::of_case(0, rank as u64);
    let letters = 3 + dice.below(8);
    let text: String = (0..letters).map(|_| char::from(b'b' + dice.below(24) as u8)).collect();
    format!("a{text}z{rank:x}")
}

/// An object with all keys; each has the words that most filters want there, and others.
fn payload(dice: &mut Dice, bytes: usize) -> String {
    let (mut top, mut labels) = (Vec::new(), Vec::new());
    let each = (bytes / KEYS).saturating_sub(16).max(8);
    for key in 0..KEYS {
        let mut text = word(key % POPULAR);
        while text.len() < each {
            text.push(' ');
            text.extend((0..6).map(|_| char::from(b'b' + dice.below(24) as u8)));
        }
        let part = format!("\"key{key}\":\"{text}\"");
        if key % 2 == 0 { top.push(part) } else { labels.push(part) }
    }
    format!("{{{},\"labels\":{{{}}}}}", top.join(","), labels.join(","))
}

/// Ranks, of which each comes so often as the one before times its rank allows (exponent 1).
#[derive(Debug)]
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=ranks).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(sums.collect())
    }

    fn draw(&self, dice: &mut Dice) -> usize {
        let all = self.0.last().copied().unwrap_or(1.0);
        let at = dice.number() as f64 / u64::MAX as f64 * all;
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

/// How many different words there are, so that a catalog is what it says.
#[cfg(test)]
mod tests {
    use domain::payload::Payload;

    use super::*;

    #[test]
    fn as_many_filters_match_in_any_size() {
        for filters in [10, 1_000] {
            let catalog = Catalog::new(1, Kind::Usual, filters, 1_000).unwrap();
            for text in &catalog.payloads {
                let payload = Payload::new(text);
                let found = catalog.entries.iter().filter(|entry| {
                    matcher::evaluate(entry, &payload, None) != domain::filter::Match::default()
                });
                assert_eq!(found.count(), MATCHES, "of {filters}");
            }
        }
        assert_eq!((0..WORDS).map(word).collect::<std::collections::HashSet<_>>().len(), WORDS);
    }
}
