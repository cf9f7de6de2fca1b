//! The texts that are searched at one place, and what hangs on each.
//!
//! Must not know where the place is.

use std::ops::Range;

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, Input, MatchKind};

/// Up to so many are searched one after the other: an automaton would take more memory and no less
/// time.
const FEW: usize = 8;

/// The items of a place.
#[derive(Debug)]
pub struct Items {
    search: Search,
    /// Behind the number of an item, where what hangs on it begins; the last one is the end.
    starts: Box<[u32]>,
}

#[derive(Debug)]
enum Search {
    Few(Box<[Box<str>]>),
    Many(Box<contiguous::NFA>),
}

impl Items {
    /// Items in lower case, each with how many hang on it.
    pub fn new(items: Vec<(&str, usize)>) -> Self {
        let mut starts = vec![0];
        for (_, hang) in &items {
            let before = starts.last().copied().unwrap_or(0);
            starts.push(before + u32::try_from(*hang).expect("what is in memory is fewer"));
        }
        let texts = items.iter().map(|(item, _)| *item);
        let search = if items.len() <= FEW {
            Search::Few(texts.map(Box::from).collect())
        } else {
            let mut builder = contiguous::NFA::builder();
            // Their bytes together are bounded by the memory of the catalog, far below what is refused.
            let built = builder.match_kind(MatchKind::Standard).prefilter(false).build(texts);
            Search::Many(Box::new(built.expect("so many items fit")))
        };
        Self { search, starts: starts.into() }
    }

    /// Shows for each item that occurs in this text, which is in lower case, where what hangs on it is.
    /// An item that occurs more than once may be shown more than once.
    pub fn search(&self, lower: &str, mut show: impl FnMut(usize, Range<usize>)) {
        let hang = |n: usize| self.starts[n] as usize..self.starts[n + 1] as usize;
        match &self.search {
            Search::Few(items) => {
                for (n, item) in items.iter().enumerate() {
                    if lower.contains(&**item) {
                        show(n, hang(n));
                    }
                }
            }
            Search::Many(nfa) => {
                let input = Input::new(lower).anchored(Anchored::No);
                let mut state = OverlappingState::start();
                loop {
                    let went = nfa.try_find_overlapping(&input, &mut state);
                    went.expect("an automaton of this kind is asked what it can");
                    let Some(found) = state.get_match() else { break };
                    show(found.pattern().as_usize(), hang(found.pattern().as_usize()));
                }
            }
        }
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// About how many bytes it takes.
    pub fn memory(&self) -> usize {
        let search = match &self.search {
            Search::Few(items) => items.iter().map(|item| item.len() + size_of::<Box<str>>()).sum(),
            Search::Many(nfa) => nfa.memory_usage(),
        };
        search + size_of_val(&*self.starts)
    }
}
