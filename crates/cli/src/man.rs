//! Manual pages, written from the definitions of the command line.
//!
//! Must not know single commands; what they share (exit codes, files, variables) stands here.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;

use crate::args;
use crate::out::say;
use crate::settings::Role;

/// Sections in roff that the pages of `gander` and its roles end with.
const SECTIONS: &str = r#".SH "EXIT STATUS"
.TP
0
Done.
.TP
1
Failed.
.TP
2
Wrong usage, or a setting that cannot be used.
.TP
3
Not found.
.TP
4
Not allowed.
.TP
5
Conflict.
.TP
6
Unavailable.
.SH ENVIRONMENT
Each setting has a variable, named beside its flag. A flag wins over its variable, that over the
configuration file, that over the default. Besides these:
.TP
GANDER_CREDENTIAL
The credential of client commands itself, where no file is named.
.TP
NOTIFY_SOCKET, WATCHDOG_USEC
Set by systemd for a service of Type=notify: roles tell it when they are ready and stop, and that they
live.
.TP
CREDENTIALS_DIRECTORY
Set by systemd for a service with LoadCredential=: a path in the configuration file may begin with it.
.SH FILES
.TP
gander.toml
The configuration file, read only where \-\-config or GANDER_CONFIG names it. \fBgander config
example\fR writes one with every setting explained.
.TP
<data>/journal/, <data>/nats/
The journal of admin, and with \fBgander up\fR the streams of nats\-server.
.TP
<data>/bootstrap\-credential
Written at the first start, mode 0600: it makes the first Global Admin, then it is dead.
.TP
~/.config/gander/credential
The credential of client commands, mode 0600.
"#;

/// Writes all pages into a folder, or that of `gander` to standard output.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: Option<&Path>) -> anyhow::Result<()> {
    let pages = pages()?;
    let Some(folder) = folder else {
        say(pages.first().map_or("", |(_, page)| page.trim_end()));
        return Ok(());
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, page) in &pages {
        let path = folder.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(&format!("{} pages are written to {}", pages.len(), folder.display()));
    Ok(())
}

/// Every page with the name of its file, that of `gander` first.
fn pages() -> anyhow::Result<Vec<(String, String)>> {
    let mut root = args::command().disable_help_subcommand(true);
    root.build();
    let mut waiting = vec![(root, true)];
    let mut pages = Vec::new();
    while let Some((command, whole)) = waiting.pop() {
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        waiting.extend(below.cloned().map(|command| (command, false)));
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        pages.push((format!("{name}.1"), page(command, whole)?));
    }
    Ok(pages)
}

fn page(command: Command, whole: bool) -> anyhow::Result<String> {
    let is_role = Role::named(command.get_name()).is_some();
    let examples = command.get_after_help().map(ToString::to_string);
    let options = command.get_arguments().any(|arg| !arg.is_hide_set());
    let commands = command.has_subcommands();
    let man = Man::new(command).source(concat!("Gander ", env!("CARGO_PKG_VERSION")));
    let man = man.manual("Gander");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if commands {
        man.render_subcommands_section(&mut text)?;
    }
    if options {
        man.render_options_section(&mut text)?;
    }
    let mut text = String::from_utf8(text)?;
    if whole || is_role {
        text += SECTIONS;
    }
    text += &examples.map(|examples| as_they_are(&examples)).unwrap_or_default();
    Ok(text)
}

/// Examples, with their lines kept.
fn as_they_are(text: &str) -> String {
    let escaped = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") }
    };
    let lines: String = text.lines().map(escaped).collect();
    format!(".SH NOTES\n.nf\n{lines}.fi\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_sections() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["gander.1", "gander-up.1", "gander-admin-recover.1", "gander-token-create.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for (name, page) in &pages {
            let known = ["TH", "SH", "TP", "RS", "RE", "IP", "br", "nf", "fi", "ie", "el"];
            let controls = page.lines().filter_map(|line| line.strip_prefix('.'));
            for control in controls {
                let word = control.split_whitespace().next().unwrap_or_default();
                assert!(known.contains(&word), "{name}: {control}");
            }
            let title = format!(".TH {} 1", name.trim_end_matches(".1"));
            for text in [&title, ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
                assert!(page.lines().any(|line| line.starts_with(text)), "{name}: {text}");
            }
        }
        let gateway = pages.iter().find(|(name, _)| name == "gander-gateway.1");
        let gateway = gateway.map(|(_, page)| page.as_str()).unwrap_or_default();
        for text in ["GANDER_HTTP_LISTEN", "EXIT STATUS", ".SH ENVIRONMENT", ".SH FILES"] {
            assert!(gateway.contains(text), "{text}");
        }
        assert!(!gateway.contains("credential\\-file"), "client options are no matter of a role");
    }
}
