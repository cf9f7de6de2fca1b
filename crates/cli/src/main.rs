//! The `gander` program: reads the command line, runs what it names, tells how that ended.
//!
//! Must not know how anything is done.

mod args;
mod backup;
mod client;
mod out;
mod roles;
mod stored;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    runtime::tls::install_provider();
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Up(args) => roles::up(&args),
        Command::Admin(args) => roles::admin(&args),
        Command::Gateway(args) => roles::gateway(&args),
        Command::Worker(args) => roles::worker(&args),
        Command::Completions { shell } => args::completions(shell),
        Command::Backup { command } => backup::run(&command, cli.connect.output),
        Command::Client(command) => client::run(&cli.connect, &command),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::complain(&format!("error: {}", client::explain(&error)));
            ExitCode::from(client::exit_code(&error))
        }
    }
}
