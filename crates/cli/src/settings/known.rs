//! The settings of a role, as clap has them: which there are, and whether a value is good for one.
//!
//! Must not know where a value comes from.

use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use runtime::secret_file;

use super::Role;
use super::file::{Scalar, Value};
use crate::args::CLIENT_HEADING;

/// The flag that names the configuration file; it is no setting of the file itself.
pub const CONFIG: &str = "config";

/// The command of a role.
pub fn command_of(root: &Command, role: Role) -> &Command {
    root.find_subcommand(role.name()).expect("each role has a command of its name")
}

/// The settings of a command, in the order of its help.
pub fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        arg.get_long().is_some_and(|long| !["help", "version", CONFIG].contains(&long))
            && arg.get_help_heading() != Some(CLIENT_HEADING)
    })
}

/// The setting of this name.
pub fn setting<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    settings(command).find(|arg| arg.get_long() == Some(key))
}

/// Whether the setting is said by its flag alone, without a value.
pub fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// A variable that the setting reads.
pub fn variable(arg: &Arg) -> Option<&str> {
    arg.get_env().and_then(|name| name.to_str())
}

/// The flags that say this value, if it is good for the setting.
///
/// # Errors
/// It is not; says what is.
pub fn flags(command: &Command, arg: &Arg, value: &Value) -> Result<Vec<OsString>, String> {
    let key = arg.get_long().unwrap_or_default();
    let flags = match value {
        Value::One(Scalar::Bool(said)) if is_switch(arg) => {
            if *said {
                vec![format!("--{key}").into()]
            } else {
                vec![]
            }
        }
        Value::One(_) | Value::List(_) if is_switch(arg) => {
            return Err("must be true or false".to_owned());
        }
        Value::One(one) => vec![flag(key, one)?],
        Value::List(list) if matches!(arg.get_action(), ArgAction::Append) => {
            list.iter().map(|one| flag(key, one)).collect::<Result<_, _>>()?
        }
        Value::List(_) => return Err("must be one value, not a list".to_owned()),
    };
    accept(command, &flags).map(|()| flags)
}

fn flag(key: &str, one: &Scalar) -> Result<OsString, String> {
    let mut flag = OsString::from(format!("--{key}="));
    match one {
        Scalar::Bool(said) => flag.push(said.to_string()),
        Scalar::Text(text) if text.starts_with(secret_file::CREDENTIALS) => {
            flag.push(secret_file::resolve(Path::new(text)).map_err(|error| chain(&error))?);
        }
        Scalar::Text(text) => flag.push(text),
        Scalar::From(path) => {
            let path = secret_file::resolve(path).map_err(|error| chain(&error))?;
            flag.push(secret_file::read(&path).map_err(|error| chain(&error))?);
        }
    }
    Ok(flag)
}

/// Whether the parsers of the command take these flags, each by itself: what they mean together is
/// for the whole command line.
///
/// # Errors
/// They do not; says what is allowed.
pub fn accept(command: &Command, flags: &[OsString]) -> Result<(), String> {
    let bare = command.clone().mut_args(|arg| arg.env(Resettable::Reset));
    let all = std::iter::once(OsString::from(command.get_name())).chain(flags.iter().cloned());
    match bare.try_get_matches_from(all) {
        Ok(_) => Ok(()),
        Err(error) if is_about_several(&error) => Ok(()),
        Err(error) => Err(allowed(&error)),
    }
}

fn is_about_several(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict)
}

/// Why this is no setting of any role; with the nearest one.
pub fn unknown(root: &Command, key: &str) -> String {
    let nearest = Role::ALL.into_iter().find_map(|role| {
        let command = command_of(root, role);
        let arguments = [command.get_name().to_owned(), format!("--{key}=")];
        let error = command.clone().try_get_matches_from(arguments).err()?;
        let Some(ContextValue::String(suggested)) = error.get(ContextKind::SuggestedArg) else {
            return None;
        };
        let suggested = suggested.trim_start_matches("--").to_owned();
        setting(command, &suggested).is_some().then_some(suggested)
    });
    match nearest {
        Some(nearest) => format!("there is no setting {key}; did you mean {nearest}?"),
        None => format!("there is no setting {key}: see `gander config example`"),
    }
}

/// What a parser says is wrong, without the flag that it speaks of.
pub fn allowed(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return chain(source);
    }
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("must be one of {}", values.join(", "));
    }
    first_line(error)
}

/// The first line of what clap says.
pub fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries tell their source in their own text too.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
