//! The `gander` program: reads the command line, runs what it names, tells how that ended.
//!
//! [`doors`] are ways in for fuzz targets. Must not know how anything is done.

mod args;
mod backup;
mod client;
pub mod doors;
mod man;
mod nats;
mod nats_door;
mod out;
mod preflight;
mod roles;
mod settings;
mod stored;

use std::borrow::Cow;
use std::process::ExitCode;

use args::{Act, ConfigAct};
use domain::secret;
use runtime::telemetry;

/// Settings with which nothing is started.
fn wrong(problems: &[impl std::fmt::Display]) -> ExitCode {
    problems.iter().for_each(|problem| out::complain(&out::quoted(&format!("error: {problem}"))));
    ExitCode::from(2)
}

/// A command line that cannot be read, or asks for help. It is quoted, with what was typed in the wrong place.
fn unread(error: &clap::Error) -> ExitCode {
    let told = error.render().to_string();
    match secret::mask(told.as_bytes(), out::SECRET) {
        Cow::Borrowed(_) => error.exit(),
        Cow::Owned(_) => {
            out::complain(out::quoted(&told).trim_end());
            ExitCode::from(2)
        }
    }
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    runtime::tls::install_provider();
    let cli = match settings::read(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(settings::Stop::Clap(error)) => return unread(&error),
        Err(settings::Stop::Problems(problems)) => return wrong(&problems),
    };
    let problems = preflight::problems(&cli.act);
    if !problems.is_empty() {
        return wrong(&problems);
    }
    let is_up = matches!(cli.act, Act::Up(_));
    let ended = match cli.act {
        Act::Up(args) => roles::up(&args),
        Act::Admin(args) => roles::admin(&args),
        Act::Gateway(args) => roles::gateway(&args),
        Act::Worker(args) => roles::worker(&args),
        Act::Config { act: ConfigAct::Check(asked) } => settings::check(&asked),
        Act::Config { act: ConfigAct::Print(asked) } => settings::print(&asked, cli.connect.output),
        Act::Config { act: ConfigAct::Example } => settings::example(),
        Act::Man { folder } => man::write(folder.as_deref()),
        Act::Backup { command } => backup::run(&command, cli.connect.output),
        Act::Nats { command } => nats::run(&command),
        Act::Completions { shell } => args::completions(shell),
        Act::Client(command) => client::run(&cli.connect, &command),
    };
    // Whatever a role has said comes before what it ended with.
    telemetry::end_logs();
    match ended {
        Ok(()) => {
            if is_up {
                telemetry::in_time(|| out::greet("Gander has stopped."));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let told = out::quoted(&format!("error: {}", client::explain(&error)));
            telemetry::in_time(move || out::complain(&told));
            ExitCode::from(client::exit_code(&error))
        }
    }
}
