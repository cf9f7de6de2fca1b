//! Which incident an alert is about.
//!
//! One alert at a time is under way for each incident, so that none is repeated before it is
//! triggered, and none after it is resolved. Must not know payloads.

use std::collections::VecDeque;

use super::mix::{Kind, Mix, Share, Turns};

/// So many open incidents are remembered; then the oldest is forgotten and stays open.
const MAX_OPEN: usize = 1_000_000;

/// Trouble from its first alert to its last; an incident in each service with a filter that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Which one of the run.
    pub number: u64,
}

/// An alert to send.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// What it is meant to do.
    pub kind: Kind,
    /// What it is about.
    pub episode: Episode,
    /// Whether it waits for its outcome.
    pub waits: bool,
}

/// Those of a run.
#[derive(Debug)]
pub struct Episodes {
    turns: Turns,
    /// Each kind has its own, so that the share is the same for each.
    shares: [Share; 3],
    begun: u64,
    /// Open, and nothing under way.
    open: VecDeque<Episode>,
    /// Nobody knows whether they are open.
    doubtful: VecDeque<Episode>,
}

impl Episodes {
    /// None yet.
    pub const fn new(mix: Mix, outcome_percent: u8) -> Self {
        let share = Share::new(outcome_percent);
        Self {
            turns: Turns::new(mix),
            shares: [share; 3],
            begun: 0,
            open: VecDeque::new(),
            doubtful: VecDeque::new(),
        }
    }

    /// The next alert to send. Say what became of it with [`Self::done`].
    pub fn next(&mut self) -> Task {
        let (kind, episode) = match self.turns.next() {
            Kind::Trigger => (Kind::Trigger, self.begin()),
            kind @ (Kind::Repeat | Kind::Resolve) => match self.open.pop_front() {
                Some(episode) => (kind, episode),
                None => (Kind::Trigger, self.begin()),
            },
        };
        Task { kind, episode, waits: self.shares[kind as usize].next() }
    }

    fn begin(&mut self) -> Episode {
        let number = self.begun;
        self.begun += 1;
        Episode { number }
    }

    /// Takes note of what became of an alert.
    pub fn done(&mut self, task: Task, accepted: bool) {
        let list = match (accepted, task.kind) {
            (true, Kind::Resolve) => return,
            (true, Kind::Trigger | Kind::Repeat) => &mut self.open,
            (false, Kind::Trigger | Kind::Repeat | Kind::Resolve) => &mut self.doubtful,
        };
        list.push_back(task.episode);
        if list.len() > MAX_OPEN {
            list.pop_front();
        }
    }

    /// One that is left at the end, to be resolved.
    pub fn left(&mut self) -> Option<Episode> {
        self.open.pop_front().or_else(|| self.doubtful.pop_front())
    }

    /// How many are left.
    pub fn left_open(&self) -> usize {
        self.open.len() + self.doubtful.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mix: &str, outcome_percent: u8) -> Episodes {
        Episodes::new(mix.parse().unwrap(), outcome_percent)
    }

    #[test]
    fn an_episode_is_triggered_repeated_and_resolved_in_this_order() {
        let mut episodes = of("1:8:1", 50);
        let mut seen: Vec<Vec<Kind>> = Vec::new();
        for _ in 0..1_000 {
            let task = episodes.next();
            let number = usize::try_from(task.episode.number).unwrap();
            seen.resize(seen.len().max(number + 1), vec![]);
            seen[number].push(task.kind);
            episodes.done(task, true);
        }
        for kinds in seen {
            assert_eq!(kinds[0], Kind::Trigger);
            let inner = kinds.iter().skip(1).rev().skip(1);
            assert!(inner.into_iter().all(|kind| *kind == Kind::Repeat), "{kinds:?}");
        }
    }

    #[test]
    fn one_alert_at_a_time_is_under_way_for_an_episode() {
        let mut episodes = of("1:8:1", 50);
        let tasks: Vec<_> = (0..16).map(|_| episodes.next()).collect();
        assert!(tasks.iter().all(|task| task.kind == Kind::Trigger));
        tasks.iter().for_each(|task| episodes.done(*task, true));
        let mut numbers: Vec<_> = (0..16).map(|_| episodes.next().episode.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 16);
    }

    #[test]
    fn what_failed_is_left_to_be_resolved() {
        let mut episodes = of("1:0:0", 0);
        let (first, second) = (episodes.next(), episodes.next());
        episodes.done(first, false);
        episodes.done(second, true);
        assert_eq!(episodes.left_open(), 2);
        assert_eq!(episodes.left(), Some(second.episode));
        assert_eq!(episodes.left(), Some(first.episode));
        assert_eq!(episodes.left(), None);
    }

    #[test]
    fn each_kind_has_the_same_share_of_those_that_wait() {
        let mut episodes = of("1:8:1", 50);
        let mut waiting = [0; 3];
        for _ in 0..1_000 {
            let task = episodes.next();
            waiting[task.kind as usize] += u32::from(task.waits);
            episodes.done(task, true);
        }
        for (waits, expected) in waiting.into_iter().zip([50, 400, 50]) {
            assert!(i64::from(waits).abs_diff(expected) <= 3, "{waiting:?}");
        }
    }
}
