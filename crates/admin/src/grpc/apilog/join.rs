//! Parts that come one after the other, joined to entries.
//!
//! Of large parts only the places are kept, so it is never large itself. Must not know the stream.

use std::collections::{BTreeMap, HashMap};

use domain::id::{AlertId, TokenId};
use tokio::time::Instant;
use wire::stored::apilog::LogPart;

use super::entry::Progress;

/// The most bytes of parts that are kept.
const HELD: usize = 16 * 1024 * 1024;

/// An entry of which some parts have come.
#[derive(Clone, Debug)]
pub struct Open {
    /// The alert, or the call.
    pub alert: AlertId,
    /// The token.
    pub token: TokenId,
    /// The parts with their sequences, in that order; none where it is not kept.
    pub parts: Vec<(u64, Option<LogPart>)>,
    /// How much of it has come.
    pub progress: Progress,
    /// When its first part came.
    pub since: Instant,
    /// Whether it was told as far as it had come.
    pub told: bool,
    held: usize,
}

impl Open {
    /// The sequence of its first part.
    pub fn first(&self) -> u64 {
        self.parts.first().map_or(0, |(sequence, _)| *sequence)
    }
}

/// Entries of which some parts have come.
#[derive(Debug, Default)]
pub struct Join {
    open: HashMap<AlertId, Open>,
    /// By the sequences of their first parts.
    order: BTreeMap<u64, AlertId>,
    /// The same of those that are not told.
    untold: BTreeMap<u64, AlertId>,
    held: usize,
}

impl Join {
    /// Adds a part of so many bytes; gives whether its entry is complete with it.
    pub fn add(&mut self, sequence: u64, part: LogPart, bytes: usize, now: Instant) -> bool {
        let open = self.open.entry(part.alert).or_insert_with(|| {
            self.order.insert(sequence, part.alert);
            self.untold.insert(sequence, part.alert);
            Open {
                alert: part.alert,
                token: part.token,
                parts: vec![],
                progress: Progress::default(),
                since: now,
                told: false,
                held: 0,
            }
        });
        let was_complete = open.progress.is_complete();
        open.progress.add(&part);
        let keep = self.held + bytes <= HELD;
        if keep {
            self.held += bytes;
            open.held += bytes;
        }
        open.parts.push((sequence, keep.then_some(part)));
        open.progress.is_complete() && !was_complete
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes an entry out.
    pub fn take(&mut self, alert: AlertId) -> Option<Open> {
        let open = self.open.remove(&alert)?;
        self.order.remove(&open.first());
        self.untold.remove(&open.first());
        self.held -= open.held;
        Some(open)
    }

    /// Takes an entry out of which all is there.
    pub fn take_complete(&mut self, alert: AlertId) -> Option<Open> {
        self.open.get(&alert).filter(|open| open.progress.is_complete())?;
        self.take(alert)
    }

    /// Takes out the entry whose first part came first.
    pub fn take_oldest(&mut self) -> Option<Open> {
        let alert = *self.order.first_key_value()?.1;
        self.take(alert)
    }

    /// The sequence of the first part of those that are not told.
    pub fn first_untold(&self) -> Option<u64> {
        self.untold.first_key_value().map(|(sequence, _)| *sequence)
    }

    /// Marks those as told whose first part came before this time, and gives them; at most so many.
    /// Their parts are not kept any more.
    pub fn overdue(&mut self, before: Instant, most: usize) -> Vec<Open> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some((&first, alert)) = self.untold.first_key_value()
            && let Some(open) = self.open.get_mut(alert).filter(|open| open.since <= before)
        {
            due.push(open.clone());
            open.told = true;
            self.held -= std::mem::take(&mut open.held);
            open.parts.iter_mut().for_each(|(_, part)| *part = None);
            self.untold.remove(&first);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use wire::proto::gander::stored::v1 as stored;
    use wire::stored::apilog::Part;

    use super::*;

    fn part(alert: u8, part: Part) -> LogPart {
        let (alert, token) = (AlertId::from_bytes([alert; 16]), TokenId::from_bytes([1; 16]));
        LogPart { alert, token, part }
    }

    fn call(alert: u8, partitions: u64) -> LogPart {
        part(alert, Part::Call(stored::CallPart { partitions, ..Default::default() }))
    }

    fn reasons(alert: u8, partition: u32, last: bool) -> LogPart {
        let reasons = stored::ReasonsPart { partition, last, ..Default::default() };
        part(alert, Part::Reasons(reasons))
    }

    #[test]
    fn an_entry_is_complete_with_the_last_of_its_parts_in_any_order() {
        let now = Instant::now();
        let mut join = Join::default();
        assert!(!join.add(1, reasons(7, 0, true), 10, now));
        assert!(!join.add(2, call(7, 0b101), 10, now));
        assert!(!join.add(3, reasons(7, 2, false), 10, now), "not the last of its partition");
        assert!(join.add(4, call(8, 0), 10, now), "nothing was stored of it");
        assert!(join.add(5, reasons(7, 2, true), 10, now));
        assert!(!join.add(6, reasons(7, 2, true), 10, now), "it was complete before");
        assert_eq!(join.first_untold(), Some(1));
        let open = join.take(AlertId::from_bytes([7; 16])).unwrap();
        let sequences: Vec<_> = open.parts.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!((sequences, open.first()), (vec![1, 2, 3, 5, 6], 1));
        assert_eq!((join.len(), join.first_untold()), (1, Some(4)));
    }

    #[test]
    fn what_is_overdue_is_told_once_and_large_parts_are_not_kept() {
        let now = Instant::now();
        let mut join = Join::default();
        join.add(1, call(1, 1), HELD, now);
        join.add(2, call(2, 1), 1, now);
        let due = join.overdue(now, 1);
        assert_eq!((due.len(), due[0].parts[0].1.is_some()), (1, true));
        assert_eq!(join.first_untold(), Some(2));
        assert!(join.overdue(now, 10)[0].parts[0].1.is_none(), "there was no room for it");
        assert!(join.overdue(now, 10).is_empty());
        assert!(join.add(3, reasons(1, 0, true), HELD, now), "it comes again once it is complete");
        assert!(join.take_oldest().unwrap().told);
        assert_eq!((join.len(), join.held), (1, 0));
    }
}
