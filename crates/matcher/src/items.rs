//! The texts that are searched at one place.
//!
//! Must not know where the place is, nor what wants them.

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, Input, MatchKind};

/// Up to so many are searched one after the other: an automaton would take more memory and no less
/// time.
const FEW: usize = 8;

/// The items of a place.
#[derive(Debug)]
pub enum Items {
    /// A few.
    Few(Box<[Box<str>]>),
    /// More.
    Many(Box<contiguous::NFA>),
}

impl Items {
    /// Items in lower case. Their numbers are their places.
    pub fn new<'a>(items: impl ExactSizeIterator<Item = &'a str>) -> Self {
        if items.len() <= FEW {
            return Self::Few(items.map(Box::from).collect());
        }
        let mut builder = contiguous::NFA::builder();
        // Their bytes together are bounded by the memory of the catalog, far below what is refused.
        let built = builder.match_kind(MatchKind::Standard).prefilter(false).build(items);
        Self::Many(Box::new(built.expect("so many items fit")))
    }

    /// Shows the number of each item that occurs in this text, which is in lower case. An item that
    /// occurs more than once may be shown more than once.
    pub fn search(&self, lower: &str, mut show: impl FnMut(u32)) {
        match self {
            Self::Few(items) => {
                for (item, n) in items.iter().zip(0..) {
                    if lower.contains(&**item) {
                        show(n);
                    }
                }
            }
            Self::Many(nfa) => {
                let input = Input::new(lower).anchored(Anchored::No);
                let mut state = OverlappingState::start();
                loop {
                    let went = nfa.try_find_overlapping(&input, &mut state);
                    went.expect("an automaton of this kind is asked what it can");
                    let Some(found) = state.get_match() else { break };
                    show(found.pattern().as_u32());
                }
            }
        }
    }

    /// About how many bytes it takes.
    pub fn memory(&self) -> usize {
        match self {
            Self::Few(items) => items.iter().map(|item| item.len() + size_of::<Box<str>>()).sum(),
            Self::Many(nfa) => nfa.memory_usage(),
        }
    }
}
