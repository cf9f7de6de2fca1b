//! The program that libFuzzer drives: the target that `FUZZ_TARGET` names, on one input after the
//! other.
//!
//! Must not know what targets do.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "libFuzzer has the command line for itself")]
fn target() -> fn(&[u8]) {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    fuzz::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name}"))
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.get_or_init(target)(input));
