//! `docs/RELIABILITY.md`: its tables are written from the ledger, and from the records of revocation
//! and overload.
//!
//! Must not know how faults are tried.

use std::fs;
use std::process::Command;

use anyhow::Context;

use super::record::{self, PAGE, Record};
use crate::overload;
use crate::revocation::record as revocation;

const BEGIN: &str = "<!-- written by `make reliability-page` -->\n";
const REVOCATION: &str = "<!-- of revocation, written by `make reliability-page` -->\n";
const OVERLOAD: &str = "<!-- of overload, written by `make reliability-page` -->\n";
const END: &str = "<!-- up to here -->\n";

/// The last of a clean commit with as many faults as are asked for; else the last of a clean one; else the
/// last of all.
fn shown(all: &[Record]) -> Option<&Record> {
    let clean = || all.iter().rev().filter(|record| !record.commit.ends_with("-dirty"));
    clean().find(|record| record.is_whole()).or_else(|| clean().next()).or(all.last())
}

/// What came to later commits, of which there is not enough yet; a line each.
fn later(all: &[Record]) -> String {
    let shown = shown(all).map(|record| &record.commit);
    let since = all.iter().rev().take_while(|record| Some(&record.commit) != shown);
    let clean = since.filter(|record| !record.commit.ends_with("-dirty"));
    let line = |record: &Record| {
        format!(
            "Since then, at commit `{}`: {} faults in {} installations, {} alerts acknowledged, {} promises broken.\n\n",
            record.commit,
            record.faults.values().map(|sum| sum.times).sum::<u64>(),
            record.turns,
            record.alerts_acked,
            record.broken.values().sum::<u64>(),
        )
    };
    clean.map(line).collect()
}

fn section(record: &Record) -> String {
    format!(
        "Commit `{}`, nats-server {}, Linux {}; {} installations, {} s in all; {} alerts and {} commands \
         acknowledged, {} requests with tokens that were deleted before.\n\n{}\n\n{}\n",
        record.commit,
        record.nats_server,
        record.kernel,
        record.turns,
        record.seconds,
        record.alerts_acked,
        record.commands_acked,
        record.revoked_tried,
        record.tables(),
        record.silence(),
    )
}

/// The page with this part after its beginning.
fn with(page: &str, begin: &str, part: &str) -> anyhow::Result<String> {
    let (before, rest) = page.split_once(begin).with_context(|| begin.to_owned())?;
    let (_, after) = rest.split_once(END).context(END)?;
    Ok(format!("{before}{begin}\n{part}\n{END}{after}"))
}

#[test]
fn the_page_of_reliability_is_current() -> anyhow::Result<()> {
    let all = record::read()?;
    let file = record::root().join(PAGE);
    let page = fs::read_to_string(&file)?;
    let current =
        with(&page, BEGIN, &(shown(&all).map(section).unwrap_or_default() + &later(&all)))?;
    let current = with(&current, REVOCATION, &revocation::Record::section()?)?;
    let current = with(&current, OVERLOAD, &overload::section()?)?;
    if page != current {
        fs::write(&file, current)?;
        anyhow::bail!("{PAGE} was not current and has been written anew");
    }
    Ok(())
}

#[test]
fn each_test_of_the_track_record_exists() -> anyhow::Result<()> {
    let page = fs::read_to_string(record::root().join(PAGE))?;
    let (_, track_record) = page.split_once("## Track record").context("no track record")?;
    let (_, rows) = track_record.split_once("|---").context("no table")?;
    let quoted = rows.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| {
        name.matches('_').count() > 2 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let names: Vec<_> = quoted.filter(is_test).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        // The beginning of a name is enough for `cargo test`.
        let function = format!("fn {name}");
        let git = ["grep", "--quiet", "--fixed-strings", &function, "--", "crates", "tests"];
        let found = Command::new("git").current_dir(record::root()).args(git).status()?;
        assert!(found.success(), "{name} is in the track record, and no test");
    }
    Ok(())
}
