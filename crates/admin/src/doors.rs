//! Ways in for fuzz targets: what is read of requests and of exported files.
//!
//! Must not be used by anything else.

use crate::grpc::page::{Key, Page};

struct Fixed;

impl runtime::random::Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// Whether a page token is taken as one of this question.
#[must_use]
pub fn is_page_token(size: i32, token: &str, question: &str) -> bool {
    Page::parse(&Key::draw(&Fixed), size, token, question).is_ok()
}

/// The token of the page after the thing with this number.
#[must_use]
pub fn page_token(number: u64, question: &str) -> Option<String> {
    let page = Page::parse(&Key::draw(&Fixed), 0, "", question).ok()?;
    Some(page.token_of(number))
}

/// Whether an exported file of the audit log is whole.
#[must_use]
pub fn audit_file(bytes: &[u8]) -> bool {
    crate::audit::check_lines(bytes, &crate::audit::Expected::default(), |_| ()).is_ok()
}
