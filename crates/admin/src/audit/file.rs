//! An exported file: each line is what its bytes say, and the bytes are a chain.
//!
//! A line must be exactly what an export would write, so a change of any byte is found. Must not
//! know a server: what is missing at the end shows only against a head that was noted.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use runtime::journal::Head;
use wire::audit::{exported, hash_from_hex};
use wire::proto::gander::admin::v1::AuditRecord;
use wire::stored;

use super::Error;
use super::chain::{Difference, Expected, Link, Place, Verdict, Window, check_one};

/// The longest line: a record has at most 1 MiB, which is less than 8 as JSON with its bytes.
const MAX_LINE: u64 = 8 * 1024 * 1024;
const STEP: u64 = 10_000;

/// A line with its record, or what is wrong with it.
type Line = Result<(AuditRecord, Link), Difference>;

/// Checks the lines of an export. A file that begins in the middle is taken at its word for the
/// hash of the record before, unless that is what was noted. A record that was noted and would be
/// before that is not in the file, so nothing can be said of it: that differs, too. `progress` is
/// told the last number.
///
/// # Errors
/// The file cannot be read, or a newer version wrote it.
pub fn check_lines(
    mut file: impl BufRead,
    expected: &Expected,
    mut progress: impl FnMut(u64),
) -> Result<Verdict, Error> {
    let mut ahead: VecDeque<Line> = VecDeque::new();
    let mut head: Option<Head> = None;
    let mut next = None;
    loop {
        while ahead.len() < 3 {
            let Some(line) = read_line(&mut file, next)? else { break };
            next = line.as_ref().ok().map(|(record, _)| record.sequence + 1);
            ahead.push_back(line);
        }
        let Some(first) = ahead.front() else { break };
        let (record, link) = match first {
            Ok(good) => good,
            Err(difference) => return Ok(difference.clone().into()),
        };
        let before = match head {
            Some(head) => head,
            None => match beginning(record, link, expected) {
                Ok(head) => head,
                Err(difference) => return Ok(difference.into()),
            },
        };
        let links = [0, 1, 2].map(|n| Some(&ahead.get(n)?.as_ref().ok()?.1));
        let window = Window { place: Place::File, links };
        let checked = check_one(before, window).and_then(|_| {
            let after = before.after(&link.record);
            expected.check(Place::File, after, &link.says()).map(|()| after)
        });
        match checked {
            Ok(after) => head = Some(after),
            Err(difference) => return Ok(difference.into()),
        }
        if record.sequence.is_multiple_of(STEP) {
            progress(record.sequence);
        }
        ahead.pop_front();
    }
    let head = head.unwrap_or_default();
    let ended = expected.check_end(Place::File, head);
    Ok(ended.map_or_else(Verdict::from, |()| Verdict::Whole(head)))
}

/// The head before the first record of the file: of a file that begins in the middle what the
/// record says, checked against what was noted.
fn beginning(first: &AuditRecord, link: &Link, expected: &Expected) -> Result<Head, Difference> {
    if first.sequence <= 1 {
        return Ok(Head::default());
    }
    let hash = hash_from_hex(&first.previous_hash).unwrap_or_default();
    let head = Head { sequence: first.sequence - 1, hash };
    expected.check_beginning(Place::File, head, &link.says())?;
    Ok(head)
}

/// Reads a line; `next` is the number that it should have, if that is known.
fn read_line(file: &mut impl BufRead, next: Option<u64>) -> Result<Option<Line>, Error> {
    let mut line = Vec::new();
    if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let broken = |problem: &str, expected, found, says: String| Difference {
        sequence: next.unwrap_or(1),
        place: Place::File,
        problem: problem.to_owned(),
        expected,
        found,
        says: says.into(),
    };
    let unreadable = || broken("its line cannot be read", None, None, "-".to_owned());
    let Ok(record) = serde_json::from_slice::<AuditRecord>(&line) else {
        return Ok(Some(Err(unreadable())));
    };
    let link = Link::new(record.record.clone());
    let stated = hash_from_hex(&record.hash);
    if stated != Some(link.hash) {
        let problem = "its bytes do not have the hash that its line says";
        let says = link.says();
        return Ok(Some(Err(broken(problem, stated, Some(link.hash), says))));
    }
    let told = match exported(&link.record, link.hash) {
        Ok(told) => told,
        Err(source @ stored::Error::Newer { .. }) => {
            return Err(Error::Newer { sequence: record.sequence, source });
        }
        Err(_) => return Ok(Some(Err(unreadable()))),
    };
    if serde_json::to_vec(&told).ok().map(|line| [&line[..], b"\n"].concat()) != Some(line) {
        let problem = "its line is not what its bytes say";
        return Ok(Some(Err(broken(problem, stated, Some(link.hash), link.says()))));
    }
    Ok(Some(Ok((record, link))))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
