//! Secrets of tokens and principals: their shape, their checksum and what is kept of them.
//!
//! Must not know where secrets are kept nor draw one: random bytes come from outside.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Range;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LENGTH: usize = 4;
const RANDOM_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
/// How many characters the checksum is of.
const SUMMED: usize = PREFIX_LENGTH + RANDOM_LENGTH;

/// The length of a secret in characters.
pub const LENGTH: usize = SUMMED + CHECKSUM_LENGTH;

/// How many random bytes make a secret: 32 for 256 bits.
pub const RANDOM_BYTES: usize = 32;

/// The most bytes that a secret takes where each of its characters is escaped: percent-encoding of
/// each byte of a JSON escape.
pub const LONGEST: usize = LENGTH * 18;

/// The bytes with `instead` in the place of everything in them that has the shape of a secret, of
/// whatever kind, whether or not it opens anything; also where JSON escapes (`\u005f`) or
/// percent-encoding (`%5F`) write it.
#[must_use]
pub fn mask<'a>(bytes: &'a [u8], instead: &[u8]) -> Cow<'a, [u8]> {
    let found = if bytes.iter().any(|byte| matches!(byte, b'\\' | b'%')) {
        Unescaped::of(bytes).shapes()
    } else {
        shapes(bytes)
    };
    if found.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let (mut masked, mut rest) = (Vec::new(), 0);
    for shape in found {
        masked.extend_from_slice(&bytes[rest..shape.start]);
        masked.extend_from_slice(instead);
        rest = shape.end;
    }
    masked.extend_from_slice(&bytes[rest..]);
    Cow::Owned(masked)
}

/// Where something has the shape of a secret; what overlaps is one place.
fn shapes(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in bytes.windows(LENGTH).enumerate().filter(|(_, window)| has_shape(window)) {
        match found.last_mut().filter(|last| at < last.end) {
            Some(last) => last.end = at + LENGTH,
            None => found.push(at..at + LENGTH),
        }
    }
    found
}

/// A text without its escapes, and where each byte of it was.
struct Unescaped {
    bytes: Vec<u8>,
    /// One more than there are bytes: the last is the end.
    places: Vec<usize>,
}

impl Unescaped {
    /// Without percent-encoding, then without the escapes of JSON that are ASCII.
    fn of(bytes: &[u8]) -> Self {
        let plain = Self { bytes: bytes.to_vec(), places: (0..=bytes.len()).collect() };
        plain.without(percent_encoded).without(escaped)
    }

    fn without(&self, escape: fn(&[u8]) -> Option<(u8, usize)>) -> Self {
        let mut without = Self { bytes: vec![], places: vec![] };
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let (byte, length) = escape(&self.bytes[at..]).unwrap_or((*byte, 1));
            without.bytes.push(byte);
            without.places.push(self.places[at]);
            at += length;
        }
        without.places.push(self.places[at]);
        without
    }

    fn shapes(&self) -> Vec<Range<usize>> {
        let found = shapes(&self.bytes).into_iter();
        found.map(|shape| self.places[shape.start]..self.places[shape.end]).collect()
    }
}

/// The byte that percent-encoding stands for, and its length.
fn percent_encoded(bytes: &[u8]) -> Option<(u8, usize)> {
    let digits = bytes.strip_prefix(b"%")?.get(..2)?;
    Some((hexadecimal(digits)?, 3))
}

/// The ASCII character that an escape of JSON stands for, and its length.
fn escaped(bytes: &[u8]) -> Option<(u8, usize)> {
    let digits = bytes.strip_prefix(b"\\u00")?.get(..2)?;
    hexadecimal(digits).filter(u8::is_ascii).map(|byte| (byte, 6))
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let all = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all)?;
    u8::from_str_radix(text, 16).ok()
}

fn has_shape(bytes: &[u8]) -> bool {
    let kinds = [Kind::Token, Kind::Credential];
    kinds.iter().any(|kind| bytes.starts_with(kind.prefix().as_bytes()))
        && bytes[PREFIX_LENGTH..].iter().all(u8::is_ascii_alphanumeric)
}

/// What a secret opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An API token: `gdr_`.
    Token,
    /// A principal's credential: `gdp_`.
    Credential,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Token => "gdr_",
            Self::Credential => "gdp_",
        }
    }

    const fn context(self) -> &'static str {
        match self {
            Self::Token => "gander 2026-11 api token digest v1",
            Self::Credential => "gander 2026-11 principal credential digest v1",
        }
    }

    /// The hash of the context, which each digest begins with: half of what a digest costs.
    fn context_key(self) -> &'static ContextKey {
        static TOKEN: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context(Kind::Token.context()));
        static CREDENTIAL: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context(Kind::Credential.context()));
        match self {
            Self::Token => &TOKEN,
            Self::Credential => &CREDENTIAL,
        }
    }
}

/// A text that is not a secret of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secret of this kind: a character is missing, wrong or added")]
pub struct Error;

/// A secret in the clear. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    kind: Kind,
    /// ASCII.
    text: [u8; LENGTH],
}

impl Secret {
    /// The secret made of these random bytes: the prefix, 43 base62 characters, and 6 of the
    /// CRC-32 (ISO-HDLC) over all before.
    #[must_use]
    pub fn from_random(kind: Kind, random: &[u8; RANDOM_BYTES]) -> Self {
        let mut text = [0; LENGTH];
        text[..PREFIX_LENGTH].copy_from_slice(kind.prefix().as_bytes());
        text[PREFIX_LENGTH..SUMMED].copy_from_slice(&base62(*random));
        let sum = checksum(&text[..SUMMED]);
        text[SUMMED..].copy_from_slice(&sum);
        Self { kind, text }
    }

    /// Reads a secret: exact length, prefix, alphabet and checksum.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Error> {
        let text: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| Error)?;
        let body = text.strip_prefix(kind.prefix().as_bytes()).ok_or(Error)?;
        // Looks at all of them, whatever it finds: so the compiler makes a few steps of it.
        let well_formed = body.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric());
        if !well_formed || checksum(&text[..SUMMED]) != text[SUMMED..] {
            return Err(Error);
        }
        Ok(Self { kind, text })
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_from_context_key(self.kind.context_key());
        Digest(hasher.update(&self.text).finalize().into())
    }

    /// The secret in the clear, for the one answer that shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.text).expect("base62 characters are ASCII")
    }

    /// Its last four characters, for people to tell secrets apart.
    #[must_use]
    pub fn last_four(&self) -> LastFour {
        let mut four = [0; 4];
        four.copy_from_slice(&self.text[LENGTH - 4..]);
        LastFour(four)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The BLAKE3 digest of a secret under a derivation context of its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Its first bytes: see [`ByDigest`].
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.number());
    }
}

/// What is kept by digests. They are not hashed once more: nobody can choose the digest of a secret, as
/// nobody can choose the secret.
pub type ByDigest<T> = HashMap<Digest, T, BuildHasherDefault<AsItIs>>;

/// The hash of a number that is as good as random: the number.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write_usize(&mut self, number: usize) {
        self.0 = number as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Digest {
    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A number that is as good as random: its first bytes.
    pub(crate) const fn number(&self) -> usize {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        usize::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// The last four characters of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFour([u8; 4]);

impl LastFour {
    /// Reads four base62 characters.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let four: [u8; 4] = text.as_bytes().try_into().map_err(|_| Error)?;
        if four.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(four)) } else { Err(Error) }
    }

    /// The four characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base62 characters are ASCII")
    }
}

/// The 256-bit number in base 62, most significant digit first. 62^43 exceeds 2^256, so every
/// number has its own text and none is more likely than another.
fn base62(mut number: [u8; RANDOM_BYTES]) -> [u8; RANDOM_LENGTH] {
    let mut digits = [0u8; RANDOM_LENGTH];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("the remainder is below 62");
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    digits
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut number = crc32fast::hash(text);
    let mut digits = [ALPHABET[0]; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_is_that_of_the_context_and_the_text() {
        for kind in [Kind::Token, Kind::Credential] {
            let secret = Secret::from_random(kind, &[7; 32]);
            let expected = blake3::derive_key(kind.context(), secret.reveal().as_bytes());
            assert_eq!(secret.digest(), Digest(expected));
        }
    }

    #[test]
    fn a_secret_that_another_shape_runs_into_is_masked_too() {
        let secret = Secret::from_random(Kind::Token, &[7; RANDOM_BYTES]);
        let text = format!("gdr_{}{}!", "a".repeat(46), secret.reveal());
        assert_eq!(mask(text.as_bytes(), b"-").as_ref(), b"-!");
        let twice = format!("{0}{0} {0}", secret.reveal());
        assert_eq!(mask(twice.as_bytes(), b"-").as_ref(), b"-- -");
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_back(random: [u8; 32]) {
            for kind in [Kind::Token, Kind::Credential] {
                let secret = Secret::from_random(kind, &random);
                prop_assert_eq!(secret.reveal().len(), LENGTH);
                prop_assert_eq!(Secret::parse(kind, secret.reveal()), Ok(secret));
            }
        }

        #[test]
        fn one_changed_character_is_refused(random: [u8; 32], at in 0..LENGTH, to in 0..62usize) {
            let text = Secret::from_random(Kind::Token, &random).reveal().to_owned();
            let mut changed = text.clone().into_bytes();
            changed[at] = ALPHABET[to];
            let changed = String::from_utf8(changed)?;
            prop_assume!(changed != text);
            prop_assert_eq!(Secret::parse(Kind::Token, &changed), Err(Error));
        }

        #[test]
        fn however_it_is_written_it_is_masked(
            random: [u8; 32],
            before in "[ -~]{0,60}",
            ways in proptest::collection::vec(0..4u8, LENGTH),
        ) {
            let secret = Secret::from_random(Kind::Token, &random);
            let percent = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
            let written = secret.reveal().chars().zip(ways).map(|(character, way)| {
                let escape = format!("\\u{:04x}", u32::from(character));
                match way {
                    0 => character.to_string(),
                    1 => escape,
                    2 => percent(&character.to_string()),
                    _ => percent(&escape),
                }
            });
            let written: String = written.collect();
            prop_assert!(written.len() <= LONGEST);
            let text = format!("{before} {written} after");
            let masked = mask(text.as_bytes(), b"-").into_owned();
            prop_assert_eq!(String::from_utf8(masked).unwrap(), format!("{before} - after"));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = mask(text.as_bytes(), b"-");
            let _ = Secret::parse(Kind::Token, &text);
            let _ = LastFour::parse(&text);
        }
    }

    #[test]
    fn extremes_have_their_own_texts() {
        let zero = Secret::from_random(Kind::Token, &[0; 32]);
        let most = Secret::from_random(Kind::Token, &[255; 32]);
        assert_eq!(&zero.reveal()[4..47], "0".repeat(43));
        assert_ne!(zero, most);
        assert_eq!(zero.last_four().as_str(), &zero.reveal()[LENGTH - 4..]);
    }

    #[test]
    fn kinds_do_not_open_each_other() {
        let token = Secret::from_random(Kind::Token, &[7; 32]);
        assert_eq!(Secret::parse(Kind::Credential, token.reveal()), Err(Error));
        let credential = Secret::from_random(Kind::Credential, &[7; 32]);
        assert_ne!(token.digest(), credential.digest());
    }

    #[test]
    fn debug_says_nothing() {
        let secret = Secret::from_random(Kind::Token, &[9; 32]);
        assert_eq!(format!("{secret:?} {:?}", secret.digest()), "Secret(…) Digest(…)");
    }
}
