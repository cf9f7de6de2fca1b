//! The query of a request: `token` and `from`. Nothing else in it is looked at, and no part of it
//! is ever logged.
//!
//! Must not know what the token opens.

use std::fmt;

/// The longest source name, in characters; what is longer is cut.
pub const MAX_FROM: usize = 100;

/// What a query says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Every `token`, in order.
    pub tokens: Vec<String>,
    /// The source: the first `from` that says something.
    pub from: Option<String>,
}

impl Query {
    /// Reads a query, names and values percent-decoded.
    #[must_use]
    pub fn parse(query: Option<&str>) -> Self {
        let mut found = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "token" => found.tokens.push(value.into_owned()),
                "from" => found.from = found.from.or_else(|| source_name(&value)),
                _ => {}
            }
        }
        found
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Query(…)")
    }
}

/// The name without control characters and white space around it, cut at [`MAX_FROM`].
fn source_name(text: &str) -> Option<String> {
    let visible: String = text.chars().filter(|character| !character.is_control()).collect();
    let name: String = visible.trim().chars().take(MAX_FROM).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(query: &str, tokens: &[&str], from: Option<&str>) {
        let found = Query::parse(Some(query));
        assert_eq!(found.tokens, tokens, "{query}");
        assert_eq!(found.from.as_deref(), from, "{query}");
    }

    #[test]
    fn a_query_is_read() {
        check("", &[], None);
        check("token=a", &["a"], None);
        check("to%6ben=a&token=b", &["a", "b"], None);
        check("token", &[""], None);
        check("Token=a&tokens=b", &[], None);
        check("from=Uptime+Kuma%2F1", &[], Some("Uptime Kuma/1"));
        check("from=&from=two&from=three", &[], Some("two"));
        check("from=%00%0a%20", &[], None);
        check("from=a%0d%0ab%c2%85c", &[], Some("abc"));
        check("from=%ff", &[], Some("\u{fffd}"));
    }

    #[test]
    fn a_long_source_is_cut_at_a_character() {
        let long = "é".repeat(MAX_FROM);
        check(&format!("from={long}é"), &[], Some(&long));
        check(&format!("from={long}"), &[], Some(&long));
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Query::parse(Some("token=a&from=b"))), "Query(…)");
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query: String) {
            let from = Query::parse(Some(&query)).from.unwrap_or_default();
            prop_assert!(from.chars().count() <= MAX_FROM);
            prop_assert!(!from.contains(char::is_control));
        }
    }
}
