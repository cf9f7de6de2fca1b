//! The configuration as a whole: random commands, decided one after the other on a `Directory` as
//! admin decides them, and what must hold whatever was asked.
//!
//! `asks` is what may be asked, `history` carries it out, `invariants` is what must hold, in part
//! against the model in `plain`. Must not know how commits are stored.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asks;
mod history;
mod invariants;
mod plain;

use std::collections::BTreeSet;

use domain::directory::Directory;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use asks::Step;
use history::History;
use invariants::{
    Seen, invariant_a_repeat_changes_nothing, invariant_names_are_unique_among_siblings,
    invariant_only_what_lives_is_admitted, invariant_same_answers,
    invariant_the_bootstrap_credential_works_once, invariant_tokens_live_with_what_they_reach,
};

/// Carries out the steps one by one, and checks after each what must hold at any time.
fn check(steps: &[Step]) -> Result<History, TestCaseError> {
    let mut history = History::default();
    let mut seen = Seen::default();
    for step in steps {
        history.take(step);
        seen.invariant_a_commit_is_of_one_thing_and_dates_it(&history)?;
        seen.invariant_what_is_dead_stays_dead(&history)?;
        seen.invariant_a_lasting_admin_remains(&history)?;
        seen.invariant_reach_is_for_good(&history)?;
        invariant_a_repeat_changes_nothing(&history, &step.ask)?;
        invariant_names_are_unique_among_siblings(&history.directory)?;
        invariant_tokens_live_with_what_they_reach(&history.directory)?;
    }
    invariant_only_what_lives_is_admitted(&history)?;
    invariant_the_bootstrap_credential_works_once(&history)?;
    Ok(history)
}

/// Only carries out the steps.
fn played(steps: &[Step]) -> History {
    let mut history = History::default();
    steps.iter().for_each(|step| history.take(step));
    history
}

proptest! {
    #[test]
    fn whatever_is_asked_the_configuration_holds(steps in asks::steps()) {
        check(&steps)?;
    }

    #[test]
    fn commits_from_scratch_give_an_equal_directory(steps in asks::steps()) {
        let history = played(&steps);
        let mut folded = Directory::default();
        for commit in &history.commits {
            folded.apply(commit);
        }
        prop_assert_eq!(folded, history.directory);
    }

    #[test]
    fn a_follower_of_snapshots_answers_as_the_writer(steps in asks::steps(), cut: prop::sample::Index) {
        let history = played(&steps);
        let cut = cut.index(history.commits.len() + 1);
        let (mut folded, mut from_start) = (Directory::default(), Directory::default());
        for (commit, snapshot) in &history.messages()[..cut] {
            folded.apply(commit);
            from_start.restore(commit.sequence, snapshot.clone());
        }
        let mut from_last = Directory::default();
        for (sequence, snapshot) in history.last_of_each_subject(cut) {
            from_last.restore(sequence, snapshot);
        }
        invariant_same_answers(&history, &folded, &from_start, true)?;
        invariant_same_answers(&history, &folded, &from_last, false)?;
        for (commit, snapshot) in &history.messages()[cut..] {
            folded.apply(commit);
            from_start.restore(commit.sequence, snapshot.clone());
            from_last.restore(commit.sequence, snapshot.clone());
        }
        prop_assert_eq!(&folded, &history.directory);
        invariant_same_answers(&history, &folded, &from_start, true)?;
        invariant_same_answers(&history, &folded, &from_last, false)?;
    }
}

#[test]
fn the_random_histories_reach_every_event_and_every_rejection() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..200 {
        let steps = asks::steps().new_tree(&mut runner).unwrap().current();
        reached.extend(played(&steps).reached);
    }
    let kinds = [
        "team created, renamed, deleted",
        "service created, renamed, disabled, filters, window, ended, deleted",
        "token created, renamed, expiry, url, over-limit, secret, deleted",
        "principal created, renamed, roles, expiry, credential, deleted",
        "bootstrap issued",
        "rejected NotFound, ParentNotFound, Changed, NameTaken, LastGlobalAdmin, Expired, \
         ExpiryInThePast, FirstMustBeGlobalAdmin, StartInThePast, EndNotAfterStart, \
         WindowTooLong",
        "unchanged yes",
    ];
    for line in kinds {
        let (kind, names) = line.split_once(' ').unwrap();
        for name in names.split(", ") {
            assert!(reached.contains(&format!("{kind} {name}")), "{kind} {name}");
        }
    }
}
