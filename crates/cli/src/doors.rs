//! Ways in for fuzz targets: what is read of files and of the command line, without effects.
//!
//! Must not be used by anything else.

use std::path::PathBuf;

use crate::client::{filter_test, when};
use crate::settings::file;

/// Reads a configuration file; how many settings and how many problems it has.
#[must_use]
pub fn settings(text: &str) -> (usize, usize) {
    let named = file::File { path: PathBuf::from("gander.toml"), entries: vec![] };
    let (file, problems) = file::parse(named, text);
    let lines = text.split('\n').count();
    assert!(file.entries.iter().all(|entry| (1..=lines).contains(&entry.line)));
    (file.entries.len(), problems.len())
}

/// Reads a file of tests of filters; whether it is one.
#[must_use]
pub fn filter_tests(text: &str) -> bool {
    filter_test::tests(text).is_ok()
}

/// Reads points in time and spans; whether the text is any of them.
#[must_use]
pub fn times(text: &str) -> bool {
    let clock = runtime::clock::SystemClock;
    let when = text.parse::<when::When>().map(|when| when.to_proto(&clock));
    let point = text.parse::<when::Point>().map(|point| point.at(&clock));
    let ago = text.parse::<when::Ago>().map(|ago| ago.to_proto(&clock));
    when.is_ok() | point.is_ok() | ago.is_ok() | when::span(text).is_ok()
}
