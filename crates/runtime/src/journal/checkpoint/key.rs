//! Ed25519 keys in the text forms of signed notes.
//!
//! Must not know what is signed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Error;
use crate::random::Random;
use crate::secret_file;

/// What signed notes call Ed25519.
const ALGORITHM: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";

/// Who signed: a name, and the key with which a signature is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    name: String,
    key: [u8; 32],
}

impl Public {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first bytes of its digest: which key of that name.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let text = [self.name.as_bytes(), b"\n", &[ALGORITHM], &self.key].concat();
        let digest = digest(&SHA256, &text);
        digest.as_ref()[..4].try_into().expect("a digest is longer than that")
    }

    /// Whether this signature is its own, of this text.
    #[must_use]
    pub fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[ALGORITHM], &self.key[..]].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(bytes))
    }
}

impl FromStr for Public {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = split(text).map(|(name, key)| Self { name, key });
        let exact = parsed.filter(|public| public.to_string() == text);
        exact.ok_or("must be NAME+HASH+KEY, as `gander audit checkpoint --public-key` prints it")
    }
}

/// The name and the key of `NAME+HASH+KEY`.
fn split(text: &str) -> Option<(String, [u8; 32])> {
    let mut parts = text.splitn(3, '+');
    let (name, _, key) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = STANDARD.decode(key).ok()?;
    let (algorithm, key) = bytes.split_first()?;
    let known = *algorithm == ALGORITHM && !name.is_empty() && !name.contains(char::is_whitespace);
    known.then_some((name.to_owned(), key.try_into().ok()?))
}

/// What signs.
pub struct Key {
    pair: Ed25519KeyPair,
    public: Public,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.public.name)
    }
}

impl Key {
    /// The key in this file, which is made with a fresh one where it is missing.
    ///
    /// # Errors
    /// The file cannot be used, or holds something else.
    pub fn open_or_make(path: &Path, random: &dyn Random) -> Result<Self, Error> {
        if path.exists() {
            return Self::open(path);
        }
        let (mut seed, mut tag) = ([0; 32], [0; 4]);
        random.fill(&mut seed);
        random.fill(&mut tag);
        let name = format!("gander-audit-{:08x}", u32::from_be_bytes(tag));
        let key = Self::of(name, &seed).ok_or_else(|| Error::Key(path.to_owned()))?;
        let bytes = STANDARD.encode([&[ALGORITHM], &seed[..]].concat());
        let id = u32::from_be_bytes(key.public.id());
        secret_file::write(path, &format!("{PRIVATE}{}+{id:08x}+{bytes}", key.public.name))?;
        Ok(key)
    }

    /// The key in this file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = secret_file::read(path)?;
        let parts = text.strip_prefix(PRIVATE).and_then(split);
        let key = parts.and_then(|(name, seed)| Self::of(name, &seed));
        key.ok_or_else(|| Error::Key(path.to_owned()))
    }

    fn of(name: String, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { pair, public: Public { name, key } })
    }

    /// What its signatures are checked with.
    #[must_use]
    pub const fn public(&self) -> &Public {
        &self.public
    }

    /// The signature of this text.
    #[must_use]
    pub fn sign(&self, text: &str) -> Vec<u8> {
        self.pair.sign(text.as_bytes()).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_key_is_made_once_and_its_public_half_has_one_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = Key::open_or_make(&path, &SystemRandom).unwrap();
        let again = Key::open_or_make(&path, &SystemRandom).unwrap();
        assert_eq!(made.public(), again.public());
        let text = made.public().to_string();
        assert_eq!(&text.parse::<Public>().unwrap(), made.public());
        for (from, to) in [("gander", "ganger"), ("+", "++"), ("+A", "+B")] {
            assert!(text.replacen(from, to, 1).parse::<Public>().is_err(), "{from} to {to}");
        }
        let signature = made.sign("text");
        assert!(again.public().has_signed("text", &signature));
        assert!(!again.public().has_signed("Text", &signature));
        secret_file::write(&path, "something else").unwrap();
        assert!(matches!(Key::open(&path), Err(Error::Key(_))));
    }

    #[test]
    fn it_is_the_form_of_others() {
        // The key and the hash of the example in golang.org/x/mod/sumdb/note.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(text.parse::<Public>().unwrap().to_string(), text);
    }
}
