//! Everything from outside, on real parts: one binary, one file a subject.

mod arrows;
mod audit;
mod backup;
mod documents;
mod floods;
mod foreign;
mod full_disk;
mod http;
mod incidents;
mod journal;
mod kills;
mod limits;
mod maintenance;
mod python;
mod roles;
mod secrets;
mod story;
mod tls;
mod tokens;
mod up;
mod upgrade;
