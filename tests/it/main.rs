//! Everything from outside, on real parts: one binary, one file a subject.

mod arrows;
mod audit;
mod backup;
mod cluster;
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
mod monitoring;
mod python;
mod roles;
mod rolling;
mod secrets;
mod story;
mod tls;
mod tokens;
mod traces;
mod up;
mod upgrade;
