//! The texts that are searched at one place.
//!
//! Must not know where the place is, nor what wants them.

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, MatchKind};

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

    /// Shows the number of each item that occurs in this text, which is in lower case, and is told
    /// whether it is the first time. An item that was shown before, here or in another text, may be
    /// shown again or not: where it ends, those that it ends with are not shown again. So a text costs
    /// no more where items lie in each other.
    pub fn search(&self, lower: &str, mut show: impl FnMut(u32) -> bool) {
        match self {
            Self::Few(items) => {
                for (item, n) in items.iter().zip(0..) {
                    if lower.contains(&**item) {
                        show(n);
                    }
                }
            }
            Self::Many(nfa) => {
                let start = nfa.start_state(Anchored::No);
                let mut state = start.expect("an automaton of this kind begins anywhere");
                for byte in lower.bytes() {
                    state = nfa.next_state(Anchored::No, state, byte);
                    if !nfa.is_match(state) {
                        continue;
                    }
                    // The longest first, and each before those that it ends with.
                    let found = (0..nfa.match_len(state)).map(|n| nfa.match_pattern(state, n));
                    for item in found {
                        if !show(item.as_u32()) {
                            break;
                        }
                    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The items that are shown for these texts, one after the other, and how often one is.
    fn shown(items: &Items, texts: &[String]) -> (BTreeSet<u32>, usize) {
        let (mut found, mut times) = (BTreeSet::new(), 0);
        for text in texts {
            items.search(text, |item| {
                times += 1;
                found.insert(item)
            });
        }
        (found, times)
    }

    #[test]
    fn items_in_each_other_cost_a_look_for_each_place_at_most() {
        let nested: Vec<_> = (1..=50).map(|length| "a".repeat(length)).collect();
        let items = Items::new(nested.iter().map(String::as_str));
        let (found, times) = shown(&items, &["a".repeat(10_000)]);
        assert_eq!(found.len(), 50);
        assert!(times <= 10_000 + 50, "{times}");
    }

    proptest! {
        #[test]
        fn what_occurs_in_one_of_the_texts_is_shown_and_nothing_else(
            items in prop::collection::btree_set("[ab\u{fc}]{1,5}", 1..40),
            texts in prop::collection::vec("[abc\u{fc}]{0,30}", 1..4),
        ) {
            let items: Vec<_> = items.into_iter().collect();
            let occurs = |item: &String| texts.iter().any(|text| text.contains(item.as_str()));
            let expected: BTreeSet<u32> = (0..).zip(&items).filter(|(_, item)| occurs(item)).map(|(n, _)| n).collect();
            let (found, _) = shown(&Items::new(items.iter().map(String::as_str)), &texts);
            prop_assert_eq!(found, expected);
        }
    }
}
