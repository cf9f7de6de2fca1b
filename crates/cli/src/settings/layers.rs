//! From flags, variables and the file to one command line, and who said what of it.
//!
//! What the file says is handed to clap as flags, but only where neither a flag nor a variable says
//! something. So there is one parser and one set of rules. Must not know any setting.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::file::{self, Entry, File};
use super::known::{CONFIG, command_of, flags, setting, settings, unknown};
use super::{Problem, Role};

/// Why there is no command line to carry out.
#[derive(Debug)]
pub enum Stop {
    /// Help was asked for, or a flag or variable cannot be read.
    Clap(clap::Error),
    /// The configuration file cannot be used.
    Problems(Problems),
}

/// All that is wrong.
pub type Problems = Vec<Problem>;

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Self {
        Self::Clap(error)
    }
}

/// A command line with what the file says.
#[derive(Debug)]
pub struct Completed {
    /// The arguments.
    pub arguments: Vec<OsString>,
    /// The settings that the file says, with their place in it.
    pub by_file: BTreeMap<String, String>,
}

/// Adds to the arguments what the file says and nothing that wins over it says. Where they run no
/// role, they stay as they are.
///
/// # Errors
/// The file has a problem, for whatever role: it is told at the first start, not at another role's.
pub fn complete(root: &Command, mut arguments: Vec<OsString>) -> Result<Completed, Stop> {
    let said = root.clone().ignore_errors(true).try_get_matches_from(&arguments)?;
    let mut by_file = BTreeMap::new();
    let Some((role, command, said)) = running(root, &said) else {
        return Ok(Completed { arguments, by_file });
    };
    let Some(path) = said.try_get_one::<PathBuf>(CONFIG).ok().flatten() else {
        return Ok(Completed { arguments, by_file });
    };
    let (file, mut problems) = file::read(path);
    problems.extend(wrong(root, &file));
    if !problems.is_empty() {
        return Err(Stop::Problems(problems));
    }
    let mut added = Vec::new();
    for (entry, arg) in applying(command, &file, role) {
        if is_said(said, arg.get_id().as_str()) {
            continue;
        }
        let place = file.place(entry.line);
        let flags = flags(command, arg, &entry.value)
            .map_err(|text| Stop::Problems(vec![Problem { place: place.clone(), text }]))?;
        added.extend(flags);
        by_file.insert(entry.key.clone(), place);
    }
    let end = arguments.iter().position(|argument| argument == "--");
    let end = end.unwrap_or(arguments.len());
    arguments.splice(end..end, added);
    Ok(Completed { arguments, by_file })
}

/// What is wrong with the entries of a file, for all roles.
pub fn wrong(root: &Command, file: &File) -> Problems {
    file.entries.iter().filter_map(|entry| wrong_entry(root, file, entry)).collect()
}

fn wrong_entry(root: &Command, file: &File, entry: &Entry) -> Option<Problem> {
    let place = file.place(entry.line);
    let roles = entry.role.map_or(Role::ALL.to_vec(), |role| vec![role]);
    let knowing = |role: &Role| {
        let command = command_of(root, *role);
        setting(command, &entry.key).map(|arg| (command, arg))
    };
    // One role stands for all: a setting has the same parser in each.
    if let Some((command, arg)) = roles.iter().find_map(knowing) {
        let why = flags(command, arg, &entry.value).err()?;
        return Some(Problem { place, text: format!("{}: {why}", entry.key) });
    }
    let text = match (entry.role, Role::ALL.iter().find(|role| knowing(role).is_some())) {
        (Some(role), Some(other)) => {
            format!("{} is no setting of {}, but of {}", entry.key, role.name(), other.name())
        }
        _ => unknown(root, &entry.key),
    };
    Some(Problem { place, text })
}

/// What the file says for a role, each setting once: its table wins.
fn applying<'a>(
    command: &'a Command,
    file: &'a File,
    role: Role,
) -> impl Iterator<Item = (&'a Entry, &'a clap::Arg)> {
    settings(command).filter_map(move |arg| {
        let of = |table: Option<Role>| {
            let fits = |e: &&Entry| e.role == table && Some(e.key.as_str()) == arg.get_long();
            file.entries.iter().find(fits)
        };
        Some((of(Some(role)).or_else(|| of(None))?, arg))
    })
}

/// Whether a flag or a variable says it.
fn is_said(matches: &ArgMatches, id: &str) -> bool {
    let known = matches.try_contains_id(id).unwrap_or(false);
    let source = if known { matches.value_source(id) } else { None };
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// The role that is run, or what a role does other than run.
fn running<'a>(
    root: &'a Command,
    matches: &'a ArgMatches,
) -> Option<(Role, &'a Command, &'a ArgMatches)> {
    let (name, mut matches) = matches.subcommand()?;
    let role = Role::named(name)?;
    let mut command = command_of(root, role);
    while let Some((name, below)) = matches.subcommand() {
        (command, matches) = (command.find_subcommand(name)?, below);
    }
    Some((role, command, matches))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    /// What a role's command line becomes with this file, or what is wrong.
    fn completed(file: &str, arguments: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("f");
        std::fs::write(&path, file).map_err(|error| error.to_string())?;
        let mut words: Vec<_> = arguments.split_whitespace().map(OsString::from).collect();
        words.insert(0, "gander".into());
        words.extend(["--config".into(), path.clone().into()]);
        let count = words.len();
        let shown = |text: String| text.replace(&path.display().to_string(), "f");
        match complete(&args::command(), words) {
            Ok(done) => {
                let added = done.arguments[count..].iter().map(|flag| flag.to_string_lossy());
                Ok(added.collect::<Vec<_>>().join(" "))
            }
            Err(Stop::Problems(problems)) => {
                let lines: Vec<_> = problems.iter().map(|p| shown(p.to_string())).collect();
                Err(lines.join("\n"))
            }
            Err(Stop::Clap(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_file_speaks_where_no_flag_does_and_a_table_wins() {
        let file = "log = \"debug\"\nbody-max-bytes = 2048\n[gateway]\nlog = \"warn\"\n\
                    insecure-listen = true\n[worker]\nlog = \"error\"\nidentical-window-seconds = 5\n";
        for (arguments, added) in [
            ("gateway", "--body-max-bytes=2048 --log=warn --insecure-listen"),
            ("gateway --log trace", "--body-max-bytes=2048 --insecure-listen"),
            ("gateway --insecure-listen --body-max-bytes=9000", "--log=warn"),
            ("worker", "--identical-window-seconds=5 --log=error"),
            ("admin", "--log=debug"),
            ("admin recover", ""),
            ("up", "--body-max-bytes=2048 --log=debug"),
        ] {
            assert_eq!(completed(file, arguments).as_deref(), Ok(added), "{arguments}");
        }
        assert_eq!(completed("data = \"d\"", "admin recover").as_deref(), Ok("--data=d"));
        assert_eq!(completed("insecure-listen = false", "up").as_deref(), Ok(""));
        assert_eq!(completed("path-prefix = \"\"", "up").as_deref(), Ok("--path-prefix="));
    }

    #[test]
    fn every_problem_is_told_whichever_role_it_is_for() {
        let file = "htp-listen = 1\nlog-format = \"xml\"\nbody-max-bytes = 5\npartitions = \"many\"\n\
                    insecure-listen = \"yes\"\nreplicas = [1, 2]\nconfig = \"g\"\nserver = \"s\"\n\
                    [worker]\nhttp-listen = \"127.0.0.1:1\"\nzzz = 1\n[gateway]\nhttp-listen = 80\n";
        let told = completed(file, "admin").unwrap_err();
        let expected = [
            "f:1: there is no setting htp-listen; did you mean http-listen?",
            "f:2: log-format: must be one of text, json",
            "f:3: body-max-bytes: 5 is not in 1024..=4194304",
            "f:4: partitions: invalid digit found in string",
            "f:5: insecure-listen: must be true or false",
            "f:6: replicas: must be one value, not a list",
            "f:7: there is no setting config: see `gander config example`",
            "f:8: there is no setting server: see `gander config example`",
            "f:10: http-listen is no setting of worker, but of up",
            "f:11: there is no setting zzz: see `gander config example`",
            "f:13: http-listen: invalid socket address syntax",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_secret_stands_in_a_file_that_nobody_else_reads() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "nats://me:pw@host:4222\n").unwrap();
        let file = format!("nats-url = {{ file = \"{}\" }}", path.display());
        let told = completed(&file, "worker").unwrap_err();
        assert!(told.contains("f:1: nats-url: others can read") && !told.contains("pw"), "{told}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let said = completed(&file, "worker");
        assert_eq!(said.as_deref(), Ok("--nats-url=nats://me:pw@host:4222"));
    }

    #[test]
    fn other_commands_read_no_file() {
        let words = ["gander", "team", "list"].map(OsString::from).to_vec();
        let done = complete(&args::command(), words.clone()).unwrap();
        assert_eq!(done.arguments, words);
    }
}
