//! Settings: a flag wins over its variable, that over the configuration file, that over the default.
//!
//! - `file`: the configuration file as text. `known`: which settings there are, as clap has them.
//! - `layers`: from all of these to one command line. `check`, `print`: `gander config`.
//! - `manual`: the file with every setting explained.
//!
//! A key of the file is the long name of a flag, and its value goes through the flag's own parser: a
//! setting that is added to a role is in the file without a line here. Must not know any setting.

mod check;
pub mod file;
mod known;
mod layers;
mod manual;
mod print;

use std::ffi::OsString;
use std::fmt;

use clap::FromArgMatches;

pub use check::check;
pub use known::CONFIG;
pub use layers::Stop;
pub use manual::example;
pub use print::print;

use crate::args::{self, Cli};
use crate::preflight;

/// A role, by the name of its command and of its table in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// All roles on one machine.
    Up,
    /// Admin alone.
    Admin,
    /// A gateway alone.
    Gateway,
    /// A worker alone.
    Worker,
}

impl Role {
    /// Every role, in the order of the manual.
    pub const ALL: [Self; 4] = [Self::Up, Self::Admin, Self::Gateway, Self::Worker];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Admin => "admin",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file and its line, the variable, or the role.
    pub place: String,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The command line, with what the configuration file says where it says nothing itself.
///
/// # Errors
/// A value cannot be read, two of them cannot hold together, or help was asked for.
pub fn read(arguments: Vec<OsString>) -> Result<Cli, Stop> {
    let cli = parse(arguments)?;
    let wrong = preflight::contradictions(&cli.act).into_iter();
    let wrong: Vec<_> = wrong.map(|text| Problem { place: "settings".to_owned(), text }).collect();
    if wrong.is_empty() { Ok(cli) } else { Err(Stop::Problems(wrong)) }
}

fn parse(arguments: Vec<OsString>) -> Result<Cli, Stop> {
    let command = args::command();
    let completed = layers::complete(&command, arguments)?;
    let matches = command.try_get_matches_from(completed.arguments)?;
    Ok(Cli::from_arg_matches(&matches)?)
}
