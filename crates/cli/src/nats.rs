//! `gander nats`: keys and accounts for a nats-server of one's own.
//!
//! Must not know what the roles do there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use runtime::nats::access::{Keys, Subscriber, accounts};
use runtime::random::SystemRandom;

use crate::out::say;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum NatsCommand {
    /// Makes the keys that are missing: a file NAME.nk, mode 0600, for each role, for operators and
    /// for each subscriber. Writes the variables that nats-server needs to standard output; they
    /// have public keys only.
    #[command(after_help = "Examples:
  gander nats keys --folder /etc/gander/keys > /etc/nats/nats.env
  gander nats keys --folder keys --subscriber billing --subscriber pager")]
    Keys(KeysArgs),
    /// Writes the accounts and users of nats-server, and what each may do, to standard output.
    #[command(after_help = "Examples:
  gander nats accounts --keys /etc/gander/keys > /etc/nats/nats-accounts.conf
  gander nats accounts --subscriber billing")]
    Accounts(AccountsArgs),
}

/// Which keys, and where.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// The folder of the keys; it is made if it is missing.
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Subscribers.
    #[command(flatten)]
    pub subscribers: SubscriberArgs,
}

/// Whose accounts, and with which keys.
#[derive(Debug, Args)]
pub struct AccountsArgs {
    /// The folder of the keys; missing ones are made. Not said: in place of each public key stands the
    /// variable that `gander nats keys` writes.
    #[arg(long, value_name = "FOLDER")]
    pub keys: Option<PathBuf>,
    /// Subscribers.
    #[command(flatten)]
    pub subscribers: SubscriberArgs,
}

/// Who reads incident events.
#[derive(Debug, Args)]
pub struct SubscriberArgs {
    /// Who reads incident events over NATS, by the durable consumer of this name; may be repeated.
    /// Default: subscriber.
    #[arg(long = "subscriber", value_name = "NAME")]
    pub subscribers: Vec<Subscriber>,
}

impl SubscriberArgs {
    fn named(&self) -> Vec<Subscriber> {
        match self.subscribers.as_slice() {
            [] => vec![Subscriber::usual()],
            named => named.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }
}

/// Carries it out.
pub fn run(command: &NatsCommand) -> anyhow::Result<()> {
    match command {
        NatsCommand::Keys(args) => {
            let keys = Keys::ensure(&args.folder, &args.subscribers.named(), &SystemRandom)?;
            for (variable, key) in keys.variables() {
                say(&format!("{variable}={key}"));
            }
        }
        NatsCommand::Accounts(args) => {
            let subscribers = args.subscribers.named();
            let mut text = accounts(&subscribers);
            if let Some(folder) = &args.keys {
                text = Keys::ensure(folder, &subscribers, &SystemRandom)?.filled_in(&text);
            }
            say(text.trim_end());
        }
    }
    Ok(())
}
