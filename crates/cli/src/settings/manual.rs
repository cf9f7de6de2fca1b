//! The configuration file that is the manual: every setting explained, each at its default and
//! commented out.
//!
//! `deploy/gander.toml` is this text; a test writes it anew where it is not. Must not know any
//! setting: what it says of one, clap knows.

use clap::{Arg, ArgAction, Command};

use super::Role;
use super::known::{command_of, is_switch, setting, settings, variable};
use crate::args;
use crate::out::say;

const HEAD: &str = "\
# Settings of Gander. Every one is here at its default; take off the # before a line to change it.
#
# Start a role with it: gander gateway --config FILE, or the variable GANDER_CONFIG. No file is read
# unless it is named. A flag (--http-listen) wins over its variable (GANDER_HTTP_LISTEN), that over
# this file, that over the default. Each line here has its flag's name and takes what the flag takes.
#
# A key here counts for every role that has the setting. In a table named after a role it counts for
# that role alone, and wins there; tables stand at the end of the file:
#
#   [gateway]
#   log = \"gateway=debug,info\"
#
# A secret need not stand here. Any value may be { file = \"PATH\" }: it is what stands in that file,
# which nobody else may be able to read (mode 0600). A path that begins with
# $CREDENTIALS_DIRECTORY/ is one of systemd's credentials (LoadCredential=).
#
# gander config check [ROLE] --config FILE   tells all that is wrong, without starting anything
# gander config print [ROLE] --config FILE   shows each value and where it comes from
#
# This file is written by a test from the program's own definitions.
";

/// What stands as an example where there is no default and the help names none, by the name of the
/// value.
const EXAMPLES: [(&str, &str); 9] = [
    ("ADDRESS", "127.0.0.1:7701"),
    ("FILE", "/path/to/file"),
    ("FOLDER", "/path/to/folder"),
    ("PROGRAM", "/path/to/program"),
    ("URL", "http://127.0.0.1:8222"),
    ("NUMBER", "1"),
    ("BYTES", "1"),
    ("SECONDS", "1"),
    ("RATIO", "1.0"),
];

/// Shows the manual.
pub fn example() -> anyhow::Result<()> {
    say(manual().trim_end());
    Ok(())
}

/// The manual.
pub fn manual() -> String {
    let root = args::command();
    let mut told: Vec<String> = Vec::new();
    let mut text = HEAD.to_owned();
    for role in Role::ALL {
        for arg in settings(command_of(&root, role)) {
            let key = arg.get_long().unwrap_or_default().to_owned();
            if !told.contains(&key) {
                text += &section(&root, arg, &key);
                told.push(key);
            }
        }
    }
    text
}

fn section(root: &Command, arg: &Arg, key: &str) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut lines = vec![String::new()];
    lines.extend(wrapped(&help));
    let roles = Role::ALL.iter().filter(|role| setting(command_of(root, **role), key).is_some());
    let roles: Vec<_> = roles.map(|role| role.name()).collect();
    let mut facts = vec![kind(arg), format!("of {}", roles.join(", "))];
    facts.extend(variable(arg).map(ToOwned::to_owned));
    facts.extend(default(arg).is_none().then(|| "no default, this is an example".to_owned()));
    lines.extend(wrapped(&facts.join("; ")));
    lines.push(format!(
        "#{key} = {}",
        toml_value(arg, &default(arg).unwrap_or_else(|| sample(arg)))
    ));
    lines.join("\n") + "\n"
}

/// What kind of value it takes.
fn kind(arg: &Arg) -> String {
    if is_switch(arg) {
        return "true or false".to_owned();
    }
    let choices: Vec<_> = choices(arg);
    if !choices.is_empty() {
        return choices.join(" or ");
    }
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>().join(" ")
}

fn choices(arg: &Arg) -> Vec<String> {
    let all = arg.get_possible_values().into_iter();
    all.filter(|choice| !choice.is_hide_set()).map(|c| c.get_name().to_owned()).collect()
}

fn default(arg: &Arg) -> Option<String> {
    if is_switch(arg) {
        return Some("false".to_owned());
    }
    arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned())
}

fn sample(arg: &Arg) -> String {
    if let Some(choice) = choices(arg).first() {
        return choice.clone();
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if let Some((_, named)) = help.split_once("such as ") {
        let word = named.split_whitespace().next().unwrap_or_default();
        return word.trim_end_matches(['.', ',', ';']).to_owned();
    }
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
    let known = EXAMPLES.iter().find(|(value, _)| Some(*value) == name);
    known.map_or("...", |(_, example)| example).to_owned()
}

fn toml_value(arg: &Arg, text: &str) -> String {
    if is_switch(arg) || text.parse::<i64>().is_ok() || text.parse::<f64>().is_ok() {
        return text.to_owned();
    }
    let text = toml::Value::String(text.to_owned()).to_string();
    if matches!(arg.get_action(), ArgAction::Append) { format!("[{text}]") } else { text }
}

/// A text as comments of at most 100 characters a line.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = "#".to_owned();
        for word in paragraph.split_whitespace() {
            if line.chars().count() + word.chars().count() >= 100 {
                lines.push(std::mem::replace(&mut line, "#".to_owned()));
            }
            line = format!("{line} {word}");
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{file, layers};

    fn path() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/gander.toml")
    }

    #[test]
    fn the_file_in_deploy_is_current() {
        let (expected, found) = (manual(), std::fs::read_to_string(path()).unwrap_or_default());
        if expected != found {
            std::fs::write(path(), expected).unwrap();
            panic!("deploy/gander.toml was stale; it has been written anew: read and commit it");
        }
    }

    #[test]
    fn every_line_of_it_is_good_once_the_mark_is_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gander.toml");
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
            Some(_) | None => line.to_owned(),
        };
        let text: Vec<_> = manual().lines().map(uncommented).collect();
        std::fs::write(&path, text.join("\n")).unwrap();
        let (file, mut problems) = file::read(&path);
        let root = args::command();
        problems.extend(layers::wrong(&root, &file));
        assert_eq!(problems, []);
        let all: std::collections::BTreeSet<_> = Role::ALL
            .iter()
            .flat_map(|role| settings(command_of(&root, *role)).filter_map(Arg::get_long))
            .collect();
        assert_eq!(file.entries.len(), all.len());
    }

    #[test]
    fn every_setting_is_explained_and_has_a_variable() {
        let root = args::command();
        for role in Role::ALL {
            for arg in settings(command_of(&root, role)) {
                let key = arg.get_long().unwrap_or_default();
                assert!(arg.get_help().is_some() && variable(arg).is_some(), "{key}");
            }
        }
    }
}
