//! Everything from outside, on real parts: one binary, one file a subject.

mod arrows;
mod audit;
mod foreign;
mod http;
mod journal;
mod kills;
mod roles;
mod secrets;
mod story;
mod tokens;
mod up;
