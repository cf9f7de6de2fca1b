//! Pages of lists: the token of the next page is bound to the question that it continues.
//!
//! Must not know what is listed.

use std::fmt::Write as _;

use tonic::Status;

use super::error;

const DEFAULT: usize = 100;
const MOST: i32 = 1_000;

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
    pub fn parse(size: i32, token: &str, question: &str) -> Result<Self, Status> {
        let size = match size {
            ..0 => return Err(error::field("page_size", "is not negative")),
            0 => DEFAULT,
            size => usize::try_from(size.min(MOST)).unwrap_or(DEFAULT),
        };
        let question = blake3::derive_key("gander 2026-11 page token v1", question.as_bytes());
        let mut page = Self { size, after: None, question };
        if !token.is_empty() {
            let wrong =
                || error::field("page_token", "is one of this list, with the same question");
            let after = token.get(..32).and_then(from_hex).ok_or_else(wrong)?;
            if page.token(after) != token {
                return Err(wrong());
            }
            page.after = Some(after);
        }
        Ok(page)
    }

    fn token(&self, last: [u8; 16]) -> String {
        let seal = blake3::keyed_hash(&self.question, &last);
        last.iter().chain(&seal.as_bytes()[..8]).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The page of things that come in the order of their ids, and the token of the next one,
    /// empty on the last.
    pub fn of<T>(
        &self,
        things: impl Iterator<Item = T>,
        id: impl Fn(&T) -> [u8; 16],
    ) -> (Vec<T>, String) {
        let mut rest = things.filter(|thing| self.after.is_none_or(|after| id(thing) > after));
        let page: Vec<_> = rest.by_ref().take(self.size).collect();
        let more = rest.next().is_some();
        let token = page.last().filter(|_| more).map(|last| self.token(id(last)));
        (page, token.unwrap_or_default())
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

    #[test]
    fn pages_follow_each_other_and_belong_to_their_question() {
        let ids: Vec<[u8; 16]> = (0..250u8).map(|n| [n; 16]).collect();
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let page = Page::parse(0, &token, "teams").unwrap();
            let (some, next) = page.of(ids.iter().copied(), |id| *id);
            seen.extend(some);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, ids);
        assert!(Page::parse(0, &token, "other").is_err());
        assert!(Page::parse(-1, "", "teams").is_err());
        assert!(Page::parse(0, "+f", "teams").is_err());
        assert_eq!(Page::parse(5_000, "", "teams").unwrap().size, 1_000);
    }
}
