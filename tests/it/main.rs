//! Everything from outside, on real parts: one binary, one file a subject.

mod arrows;
mod audit;
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
mod rolling;
mod secrets;
mod settings;
mod status;
mod story;
mod systemd;
mod tls;
mod tokens;
mod up;
mod upgrade;
