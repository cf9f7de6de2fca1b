//! Names that people give to things.
//!
//! Must not know whose name it is, nor whether it is taken.

use std::fmt;
use std::sync::Arc;

/// The most characters in a name.
pub const MAX_CHARACTERS: usize = 100;

/// A text that is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing is left after white space at both ends is removed.
    #[error("a name must have at least 1 character")]
    Empty,
    /// It has too many characters.
    #[error("a name must have at most {MAX_CHARACTERS} characters")]
    TooLong,
    /// It has a control character, or one that changes the direction of text.
    #[error("a name must have no control characters")]
    Control,
}

/// What people call a thing: 1 to 100 characters, no white space at the ends, no control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisplayName(Arc<str>);

impl DisplayName {
    /// Reads a name; white space at both ends is removed.
    ///
    /// # Errors
    /// It is empty, too long or has control characters.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.chars().count() > MAX_CHARACTERS {
            return Err(Error::TooLong);
        }
        if text.chars().any(is_unprintable) {
            return Err(Error::Control);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<DisplayName> for Arc<str> {
    fn from(name: DisplayName) -> Self {
        name.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character must not be shown: a control character, or one that overrides the
/// direction of text, with which a title could look like another one.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_bounded() {
        assert_eq!(DisplayName::parse("  Payments ").map(|n| n.to_string()), Ok("Payments".into()));
        assert_eq!(DisplayName::parse(" \t "), Err(Error::Empty));
        assert!(DisplayName::parse(&"é".repeat(100)).is_ok());
        assert_eq!(DisplayName::parse(&"é".repeat(101)), Err(Error::TooLong));
        assert_eq!(DisplayName::parse("a\nb"), Err(Error::Control));
        assert_eq!(DisplayName::parse("a\u{202e}b"), Err(Error::Control));
    }
}
