//! Environment variables. Only this file reads them, apart from the flags that name theirs.
//!
//! Must not know what they mean.

/// The value of a variable, if it is set, not empty and text.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
