//! What is being measured, on the standard error stream.
//!
//! Must not know what is measured.

use std::io::{IsTerminal, Write, stderr};

/// Where a run stands.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
}

impl Progress {
    /// For whoever looks.
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal() }
    }

    /// Says what comes now; on a terminal in place of what was said before.
    pub fn say(&self, what: &str) {
        let end = if self.terminal { "\x1b[K\r" } else { "\n" };
        let _ = write!(stderr(), "{what}{end}");
        let _ = stderr().flush();
    }
}
