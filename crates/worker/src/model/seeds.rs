//! Schedules by their seeds: so many in a run, and any of them again by a command.
//!
//! The variable SEEDS says how many, SEED names one. Must not know what must hold.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use runtime::environment::variable;

/// How many seeds a run has where nothing is said.
const SEEDS: u64 = 100;
const TELL_EVERY: u64 = 1_000;

/// The number that a variable says.
fn number(name: &str) -> Option<u64> {
    variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What the strategy makes of a seed, always the same.
fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Runs the test of this name with what the strategy makes of each seed. Of one that fails the
/// smallest case is told that fails too, and the command with which the seed is run again.
pub fn run<S: Strategy>(name: &str, strategy: &S, check: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (RandomState::new().hash_one(name) >> 16, number("SEEDS").unwrap_or(SEEDS)),
    };
    for seed in first..first + count {
        let mut runner = runner(seed);
        let tree = strategy.new_tree(&mut runner).expect("a strategy that rejects nothing");
        let checked = runner.run_one(tree, |value| {
            check(value);
            Ok::<(), TestCaseError>(())
        });
        match checked {
            Ok(_) => {}
            Err(TestError::Fail(why, least)) => panic!(
                "seed {seed} fails: {why}\nwith {least:?}\nagain: SEED={seed} cargo test --workspace --locked --lib {name}"
            ),
            Err(TestError::Abort(why)) => panic!("seed {seed}: {why}"),
        }
        let done = seed - first + 1;
        if done.is_multiple_of(TELL_EVERY) {
            println!("{name}: {done} seeds of {count}, from {first}");
        }
    }
}

/// What the strategy makes of one seed.
pub fn of<S: Strategy>(seed: u64, strategy: &S) -> S::Value {
    use proptest::strategy::ValueTree;
    strategy.new_tree(&mut runner(seed)).expect("a strategy that rejects nothing").current()
}
