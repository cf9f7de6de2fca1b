//! The `gander` program. Must not know anything: the library beside it is all of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    gander::main()
}
