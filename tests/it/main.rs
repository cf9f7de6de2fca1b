//! Everything from outside, on real parts: one binary, one file a subject.

mod arrows;
mod foreign;
mod full_disk;
mod http;
mod incidents;
mod journal;
mod kills;
mod roles;
mod secrets;
mod story;
mod tokens;
mod up;
mod upgrade;
