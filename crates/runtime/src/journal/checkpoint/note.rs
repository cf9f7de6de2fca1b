//! The text of a checkpoint: a signed note with the body of a checkpoint, as C2SP has them.
//!
//! Where a Merkle tree has its root, this has the hash of a chain, so nothing can be proven from it
//! without the records. Each names the one before it. Pure; must not know files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{Key, Public};
use crate::journal::Head;

/// What is between the body and its signature.
const SIGNED: &str = "\n\n\u{2014} ";
/// No checkpoint is longer, and two of them are.
const LONGEST: usize = 512;
const TIME: &str = "time ";
const BEFORE: &str = "before ";

/// That a chain had this head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The head.
    pub head: Head,
    /// When it was signed, RFC 3339.
    pub at: String,
    /// The digest of the text of the checkpoint before; zeros for the first.
    pub before: [u8; 32],
}

impl Checkpoint {
    /// Its text, signed, without the empty line that ends it.
    #[must_use]
    pub fn text(&self, key: &Key) -> String {
        let public = key.public();
        let Head { sequence, hash } = self.head;
        let (hash, before) = (STANDARD.encode(hash), blake3::Hash::from(self.before).to_hex());
        let name = public.name();
        let body = format!("{name}\n{sequence}\n{hash}\n{TIME}{}\n{BEFORE}{before}\n", self.at);
        let signature = STANDARD.encode([&public.id()[..], &key.sign(&body)].concat());
        format!("{body}\n\u{2014} {name} {signature}\n")
    }
}

/// The digest of the text of a checkpoint, which the next one has.
#[must_use]
pub fn digest(text: &str) -> [u8; 32] {
    blake3::derive_key("gander 2026-11 audit checkpoint v1", text.as_bytes())
}

/// What is known of how checkpoints came into a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// All of them, each after the one before: the file of admin.
    Whole,
    /// Some of them, gathered by somebody.
    Some,
}

/// The first checkpoint of a text that is not what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint {number} {reason}")]
pub struct Broken {
    /// Which one, from 1.
    pub number: usize,
    /// The number of the last record that the one before it is of.
    pub after: u64,
    /// Where it begins in the text.
    pub at: usize,
    /// Whether there is nothing behind it: a crash may have left it, and to have changed it is to have
    /// cut it off.
    pub ends: bool,
    /// What is wrong.
    pub reason: &'static str,
}

/// Reads checkpoints that this key has signed, each followed by an empty line.
///
/// # Errors
/// One is not what was signed.
pub fn parse(text: &str, public: &Public, links: Links) -> Result<Vec<Checkpoint>, Broken> {
    let mut found: Vec<Checkpoint> = Vec::new();
    let (mut rest, mut before) = (text, [0; 32]);
    loop {
        if links == Links::Some {
            rest = rest.trim_start_matches('\n');
        }
        if rest.is_empty() {
            return Ok(found);
        }
        let after = found.last().map_or(0, |last| last.head.sequence);
        let (number, at) = (found.len() + 1, text.len() - rest.len());
        let is_last = rest.len() <= LONGEST;
        let broken = |ends, reason| Broken { number, after, at, ends: ends && is_last, reason };
        let (note, left) = cut(rest, links).map_err(|ends| broken(ends, "is cut off"))?;
        // Sectors become durable in any order: the last one may have its end and not its beginning.
        let reason = "was not signed by this key";
        let checkpoint = read(note, public).ok_or(broken(left.is_empty(), reason))?;
        if links == Links::Whole {
            let follows = checkpoint.before == before && checkpoint.head.sequence >= after;
            follows.then_some(()).ok_or(broken(false, "does not follow the one before it"))?;
        }
        before = digest(note);
        found.push(checkpoint);
        rest = left;
    }
}

/// The first note, and what is behind the empty line after it. Whether the text merely ends in it,
/// where there is none.
fn cut(text: &str, links: Links) -> Result<(&str, &str), bool> {
    let signature = text.find(SIGNED).ok_or(true)? + SIGNED.len();
    let end = text[signature..].find('\n').ok_or(true)?;
    let (note, rest) = text.split_at(signature + end + 1);
    match links {
        Links::Some => Ok((note, rest)),
        Links::Whole => {
            let ends = || rest.bytes().all(|byte| byte == 0);
            Ok((note, rest.strip_prefix('\n').ok_or_else(ends)?))
        }
    }
}

fn read(note: &str, public: &Public) -> Option<Checkpoint> {
    let (body, signature) = note.split_once(SIGNED)?;
    let body = format!("{body}\n");
    let signature = signature.strip_prefix(public.name())?.strip_prefix(' ')?;
    let signature = STANDARD.decode(signature.strip_suffix('\n')?).ok()?;
    let signature = signature.strip_prefix(&public.id())?;
    if !public.has_signed(&body, signature) {
        return None;
    }
    let mut lines = body.lines();
    let origin = lines.next()?;
    let sequence = lines.next()?.parse().ok()?;
    let hash = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
    let at = lines.next()?.strip_prefix(TIME)?.to_owned();
    let before = *blake3::Hash::from_hex(lines.next()?.strip_prefix(BEFORE)?).ok()?.as_bytes();
    let whole = origin == public.name() && lines.next().is_none();
    whole.then_some(Checkpoint { head: Head { sequence, hash }, at, before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn signed(count: u8) -> (Key, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open_or_make(&folder.path().join("key"), &SystemRandom).unwrap();
        let mut before = [0; 32];
        let notes = (1..=count).map(|n| {
            let head = Head { sequence: n.into(), hash: [n; 32] };
            let at = format!("2026-11-28T10:00:0{n}Z");
            let text = Checkpoint { head, at, before }.text(&key);
            before = digest(&text);
            format!("{text}\n")
        });
        let notes = notes.collect();
        (key, notes)
    }

    #[test]
    fn every_change_of_a_byte_and_every_cut_is_noticed() {
        let (key, notes) = signed(3);
        let text = notes.concat();
        let found = parse(&text, key.public(), Links::Whole).unwrap();
        assert_eq!(found.iter().map(|one| one.head.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found[2].before, digest(notes[1].strip_suffix('\n').unwrap()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(parse(&changed, key.public(), Links::Whole).is_err(), "byte {at}");
        }
        let ends: Vec<_> = (0..=3).map(|n| notes[..n].concat().len()).collect();
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let cut = parse(&text[..at], key.public(), Links::Whole);
            assert_eq!(cut.is_ok(), ends.contains(&at), "cut at {at}");
            assert!(cut.is_ok_and(|found| ends[found.len()] == at) || ends_in(&text[..at], &key));
        }
    }

    #[test]
    fn of_the_last_one_any_sector_may_be_missing() {
        let (key, notes) = signed(3);
        let before = notes[..2].concat();
        let all = notes[2].len();
        for torn in [1..100, 100..200, 200..all, all - 1..all, 0..all] {
            let mut bytes = notes[2].clone().into_bytes();
            bytes[torn.clone()].fill(0);
            let text = before.clone() + &String::from_utf8_lossy(&bytes);
            let broken = parse(&text, key.public(), Links::Whole).unwrap_err();
            assert!(broken.ends && broken.at == before.len(), "{torn:?}: {broken}");
            let followed = text + &notes[0];
            assert!(!parse(&followed, key.public(), Links::Whole).unwrap_err().ends, "{torn:?}");
        }
    }

    fn ends_in(text: &str, key: &Key) -> bool {
        let broken = parse(text, key.public(), Links::Whole).unwrap_err();
        broken.ends && parse(&text[..broken.at], key.public(), Links::Whole).is_ok()
    }

    #[test]
    fn in_the_file_of_admin_none_may_be_missing_or_moved_and_elsewhere_they_may() {
        let (key, notes) = signed(3);
        let (other, _) = signed(1);
        for order in [&[1, 2][..], &[0, 2], &[1, 0, 2], &[0, 0, 1]] {
            let text: String = order.iter().map(|n| notes[*n].as_str()).collect();
            let whole = parse(&text, key.public(), Links::Whole).unwrap_err();
            assert!(!whole.ends && whole.reason.starts_with("does not follow"), "{order:?}");
            let some = parse(&text, key.public(), Links::Some).unwrap();
            assert_eq!(some.len(), order.len());
            assert!(parse(&text, other.public(), Links::Some).is_err(), "another key");
        }
        let spaced = format!("\n{}\n\n{}", notes[0], notes[2].trim_end_matches('\n'));
        assert!(parse(&spaced, key.public(), Links::Some).unwrap_err().ends);
        assert_eq!(parse(&format!("{spaced}\n"), key.public(), Links::Some).unwrap().len(), 2);
    }
}
