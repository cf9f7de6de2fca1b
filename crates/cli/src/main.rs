//! The `gander` program. Must not know anything: the library beside it is all of it.

use std::process::ExitCode;

/// Requests and payloads are many short-lived pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gander::main()
}
