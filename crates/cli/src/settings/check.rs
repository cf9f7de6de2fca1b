//! `gander config check`: everything that is wrong, at once.
//!
//! Must not open a port or write a file.

use std::ffi::OsString;

use runtime::environment;

use super::known::{accept, command_of, first_line, settings, variable};
use super::{Problem, Role, Stop, parse};
use crate::args::{self, Asked};
use crate::out::{complain, quoted, say};
use crate::preflight;

/// Tells all that is wrong with the settings of a role, or with what is set for any.
///
/// # Errors
/// Something is wrong.
pub fn check(asked: &Asked) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for role in asked.roles() {
        for problem in wrong(asked, role)? {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems.iter().for_each(|problem| complain(&quoted(&format!("error: {problem}"))));
    match problems.len() {
        0 => say(&fine(asked)),
        1 => anyhow::bail!("1 problem"),
        count => anyhow::bail!("{count} problems"),
    }
    Ok(())
}

fn fine(asked: &Asked) -> String {
    match asked.role {
        Some(role) => format!("nothing is wrong with the settings of {}", role.name()),
        None => "nothing is wrong; say a role to have its files and addresses checked too".into(),
    }
}

fn wrong(asked: &Asked, role: Role) -> Result<Vec<Problem>, clap::Error> {
    let place = role.name().to_owned();
    match parse(asked.command_line(role)) {
        Ok(cli) => {
            let found = match asked.role {
                Some(_) => preflight::problems(&cli.act),
                None => preflight::contradictions(&cli.act),
            };
            Ok(found.into_iter().map(|text| Problem { place: place.clone(), text }).collect())
        }
        Err(Stop::Problems(problems)) => Ok(problems),
        Err(Stop::Clap(error)) if !error.use_stderr() => Err(error),
        // It tells the first thing only, so each variable is looked at by itself.
        Err(Stop::Clap(error)) => {
            let variables = variables(role);
            if variables.is_empty() {
                return Ok(vec![Problem { place, text: first_line(&error) }]);
            }
            Ok(variables)
        }
    }
}

fn variables(role: Role) -> Vec<Problem> {
    let root = args::command();
    let command = command_of(&root, role);
    let of = |arg| {
        let name = variable(arg)?;
        let value = environment::variable(name)?;
        let flag = OsString::from(format!("--{}={value}", arg.get_long()?));
        let flag = if super::known::is_switch(arg) { return None } else { flag };
        let text = accept(command, &[flag]).err()?;
        Some(Problem { place: name.to_owned(), text })
    };
    settings(command).filter_map(of).collect()
}

impl Asked {
    /// The roles that are asked about.
    pub fn roles(&self) -> Vec<Role> {
        self.role.map_or(Role::ALL.to_vec(), |role| vec![role])
    }

    /// The command line that would start the role.
    pub fn command_line(&self, role: Role) -> Vec<OsString> {
        let config = self.config.iter().flat_map(|file| ["--config".into(), file.into()]);
        let start = ["gander".into(), role.name().into()];
        start.into_iter().chain(config).chain(self.flags.iter().cloned()).collect()
    }
}
