//! Everything from outside, on real parts: one binary, one file a subject.

mod arrows;
mod story;
mod tokens;
