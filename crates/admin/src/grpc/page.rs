//! Pages of lists: the token of the next page is bound to the question that it continues, and
//! sealed, so that only places that a list has given come back.
//!
//! Must not know what is listed.

use std::fmt::Write as _;

use prost::Message;
use runtime::random::Random;
use tonic::Status;

use super::error;

const DEFAULT: usize = 100;
const MOST: i32 = 1_000;
/// The most bytes of a page: gRPC clients take 4 MiB where nothing else is said.
pub const MAX_BYTES: usize = 3 * 1024 * 1024;
/// What a thing takes in a list beside its own bytes, at most.
const OVERHEAD: usize = 8;

/// What tokens are sealed with: drawn by each process, so a token dies with the process that gave
/// it.
#[derive(Clone, Copy)]
pub struct Key([u8; 32]);

impl Key {
    /// Draws one.
    pub fn draw(random: &dyn Random) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self(key)
    }
}

/// Which page is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    size: usize,
    after: Option<[u8; 16]>,
    question: [u8; 32],
}

impl Page {
    /// Reads what is asked; `question` is everything else in the request.
    ///
    /// # Errors
    /// A negative size, or a token of another question.
    pub fn parse(key: &Key, size: i32, token: &str, question: &str) -> Result<Self, Status> {
        let size = match size {
            ..0 => return Err(error::field("page_size", "must not be negative")),
            0 => DEFAULT,
            size => usize::try_from(size.min(MOST)).unwrap_or(DEFAULT),
        };
        let question = blake3::keyed_hash(&key.0, question.as_bytes()).into();
        let mut page = Self { size, after: None, question };
        if !token.is_empty() {
            let wrong =
                || error::field("page_token", "must be one of this list, with the same question");
            let after = token.get(..32).and_then(from_hex).ok_or_else(wrong)?;
            if page.token(after) != token {
                return Err(wrong());
            }
            page.after = Some(after);
        }
        Ok(page)
    }

    /// The most things of the page.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The number of the last thing of the page before, where things are numbered.
    pub fn after_number(&self) -> Option<u64> {
        self.after.map(|after| u64::from_be_bytes(*after.last_chunk().unwrap_or(&[0; 8])))
    }

    /// The token of the page after the thing with this number.
    pub fn token_of(&self, number: u64) -> String {
        self.token(u128::from(number).to_be_bytes())
    }

    fn token(&self, last: [u8; 16]) -> String {
        let seal = blake3::keyed_hash(&self.question, &last);
        last.iter().chain(&seal.as_bytes()[..8]).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The page of things that come in the order of their ids, each as `show` says, and the token
    /// of the next page, empty on the last. A page ends early where it would be too large.
    pub fn of<T, M: Message>(
        &self,
        things: impl Iterator<Item = T>,
        id: impl Fn(&T) -> [u8; 16],
        show: impl Fn(T) -> M,
    ) -> (Vec<M>, String) {
        let mut filling = self.filling();
        for thing in things.filter(|thing| self.after.is_none_or(|after| id(thing) > after)) {
            let thing_id = id(&thing);
            if !filling.add(thing_id, show(thing)) {
                return filling.more();
            }
        }
        filling.last()
    }

    /// The id after which the page begins; none on the first.
    pub const fn after(&self) -> Option<[u8; 16]> {
        self.after
    }

    /// An empty page, to be filled in the order of ids.
    pub const fn filling<M: Message>(&self) -> Filling<'_, M> {
        Filling { page: self, things: Vec::new(), bytes: 0, last: None }
    }
}

/// A page that is being filled.
#[derive(Debug)]
pub struct Filling<'a, M> {
    page: &'a Page,
    things: Vec<M>,
    bytes: usize,
    last: Option<[u8; 16]>,
}

impl<M: Message> Filling<'_, M> {
    /// Adds a thing; false if the page is full without it. The first thing always fits.
    pub fn add(&mut self, id: [u8; 16], shown: M) -> bool {
        self.bytes += shown.encoded_len() + OVERHEAD;
        let full = self.things.len() == self.page.size || self.bytes > MAX_BYTES;
        if full && !self.things.is_empty() {
            return false;
        }
        self.things.push(shown);
        self.last = Some(id);
        true
    }

    /// Passes over a thing that is not asked for.
    pub const fn pass(&mut self, id: [u8; 16]) {
        self.last = Some(id);
    }

    /// Whether anything was added or passed over.
    pub const fn has_moved(&self) -> bool {
        self.last.is_some()
    }

    /// The page, and the token of the next one.
    pub fn more(self) -> (Vec<M>, String) {
        let token = self.last.map_or(String::new(), |last| self.page.token(last));
        (self.things, token)
    }

    /// The page, which is the last.
    pub fn last(self) -> (Vec<M>, String) {
        (self.things, String::new())
    }
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    #[test]
    fn pages_follow_each_other_and_belong_to_their_question() {
        let ids: Vec<[u8; 16]> = (0..250u8).map(|n| [n; 16]).collect();
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let page = Page::parse(&KEY, 0, &token, "teams").unwrap();
            let (some, next) = page.of(ids.iter().copied(), |id| *id, |id| id.to_vec());
            seen.extend(some);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, ids.iter().map(|id| id.to_vec()).collect::<Vec<_>>());
        let first = Page::parse(&KEY, 0, "", "teams").unwrap();
        let token = first.token_of(7);
        assert!(Page::parse(&KEY, 0, &token, "teams").is_ok());
        assert!(Page::parse(&KEY, 0, &token, "other").is_err());
        assert!(Page::parse(&Key([8; 32]), 0, &token, "teams").is_err(), "of another process");
        assert!(Page::parse(&KEY, -1, "", "teams").is_err());
        assert!(Page::parse(&KEY, 0, "+f", "teams").is_err());
        assert_eq!(Page::parse(&KEY, 5_000, "", "teams").unwrap().size, 1_000);
    }

    #[test]
    fn a_page_goes_on_after_what_it_has_passed_over() {
        let page = Page::parse(&KEY, 2, "", "things").unwrap();
        let mut filling = page.filling();
        assert!(!filling.has_moved());
        filling.pass([1; 16]);
        assert!(filling.has_moved());
        assert!(filling.add([2; 16], vec![0]));
        filling.pass([3; 16]);
        let (some, next) = filling.more();
        let page = Page::parse(&KEY, 2, &next, "things").unwrap();
        assert_eq!((some.len(), page.after()), (1, Some([3; 16])));
        let mut filling = page.filling();
        assert!(filling.add([4; 16], vec![0]) && filling.add([5; 16], vec![0]));
        assert!(!filling.add([6; 16], vec![0]), "the page has two");
        let page = Page::parse(&KEY, 2, &filling.more().1, "things").unwrap();
        assert_eq!(page.after(), Some([5; 16]), "what did not fit comes on the next");
    }

    #[test]
    fn a_page_is_never_too_large_and_never_empty() {
        let things = [1_000_000, 1_000_000, 2_000_000, 9_000_000, 10];
        let sizes = |token: &str| {
            let page = Page::parse(&KEY, 0, token, "things").unwrap();
            let things = things.iter().zip(1..6u8);
            let (some, next) = page.of(things, |(_, n)| [*n; 16], |(size, _)| vec![0; *size]);
            (some.iter().map(Vec::len).collect::<Vec<_>>(), next)
        };
        let (first, token) = sizes("");
        assert_eq!(first, [1_000_000, 1_000_000]);
        let (second, token) = sizes(&token);
        assert_eq!(second, [2_000_000]);
        let (third, token) = sizes(&token);
        assert_eq!(third, [9_000_000]);
        assert_eq!(sizes(&token), (vec![10], String::new()));
    }
}
