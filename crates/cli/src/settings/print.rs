//! `gander config print`: every setting, its value and who said it.
//!
//! Must not show a secret.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use serde::Serialize;

use super::known::{command_of, settings, variable};
use super::layers::complete;
use super::{Role, Stop};
use crate::args::{self, Asked};
use crate::client::Output;

/// A setting as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    setting: String,
    /// Nothing where nothing is said and there is no default.
    value: Option<String>,
    /// `flag`, a variable, a file with its line, or `default`.
    source: String,
    roles: Vec<&'static str>,
}

/// Shows the settings of a role, or those of all.
///
/// # Errors
/// They cannot be read.
pub fn print(asked: &Asked, output: Output) -> anyhow::Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    for role in asked.roles() {
        for row in rows_of(asked, role).map_err(told)? {
            let same = |other: &&mut Row| {
                (&other.setting, &other.value, &other.source)
                    == (&row.setting, &row.value, &row.source)
            };
            match rows.iter_mut().find(same) {
                Some(other) => other.roles.extend(row.roles),
                None => rows.push(row),
            }
        }
    }
    output.show(&rows, &["SETTING", "VALUE", "SOURCE", "ROLES"], |row| {
        let value = row.value.clone().unwrap_or_else(|| "-".to_owned());
        vec![row.setting.clone(), value, row.source.clone(), row.roles.join(", ")]
    })
}

fn told(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Clap(error) => error.into(),
        Stop::Problems(problems) => {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        }
    }
}

fn rows_of(asked: &Asked, role: Role) -> Result<Vec<Row>, Stop> {
    let root = args::command();
    let completed = complete(&root, asked.command_line(role))?;
    let matches = root.clone().try_get_matches_from(completed.arguments)?;
    let Some((_, said)) = matches.subcommand() else {
        return Ok(vec![]);
    };
    let row = |arg: &Arg| {
        let setting = arg.get_long()?.to_owned();
        let by_file = completed.by_file.get(&setting).cloned();
        let source = by_file.unwrap_or_else(|| source(arg, said));
        Some(Row { setting, value: value(arg, said), source, roles: vec![role.name()] })
    };
    Ok(settings(command_of(&root, role)).filter_map(row).collect())
}

fn source(arg: &Arg, said: &ArgMatches) -> String {
    match said.value_source(arg.get_id().as_str()) {
        Some(ValueSource::CommandLine) => "flag".to_owned(),
        Some(ValueSource::EnvVariable) => variable(arg).unwrap_or("variable").to_owned(),
        Some(_) | None => "default".to_owned(),
    }
}

fn value(arg: &Arg, said: &ArgMatches) -> Option<String> {
    let values = said.get_raw(arg.get_id().as_str())?;
    let shown = values.map(|value| masked(&value.to_string_lossy(), arg.is_hide_env_values_set()));
    Some(shown.collect::<Vec<_>>().join(", "))
}

/// The value without what could be a secret: user, password and query of a URL; and all of it where
/// the setting hides its value and it is no URL.
fn masked(value: &str, hidden: bool) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return if hidden { "(hidden)".to_owned() } else { value.to_owned() };
    };
    // Several servers are told as one value, with commas between.
    let one = |server: &str| match server.rsplit_once('@') {
        Some((_, place)) => format!("***@{place}"),
        None => server.to_owned(),
    };
    let (place, query) = rest.split_once('?').map_or((rest, ""), |(place, _)| (place, "?***"));
    let place = place.split(',').map(one).collect::<Vec<_>>().join(",");
    format!("{scheme}://{place}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (value, hidden, shown) in [
            ("nats://me:pw@host:4222", true, "nats://***@host:4222"),
            ("nats://me:p@w@host", true, "nats://***@host"),
            ("nats://a:pw@h1,nats://b:pw@h2", true, "nats://***@h1,***@h2"),
            ("nats://tok@host", true, "nats://***@host"),
            ("http://host/path?token=x", false, "http://host/path?***"),
            ("http://me:pw@host/path", false, "http://***@host/path"),
            ("authorization=secret", true, "(hidden)"),
            ("0.0.0.0:80", false, "0.0.0.0:80"),
        ] {
            assert_eq!(masked(value, hidden), shown);
            assert!(!masked(value, hidden).contains("pw"));
        }
    }
}
