//! The accounts of nats-server as its configuration has them, written from the table of rights.
//!
//! Public keys are variables, so that the text is the same for everybody. Must not know any seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use wire::subject;

use super::rights::{API, FLOWS, User, Way};

/// The account that has the streams.
pub(super) const STREAMS: &str = "GANDER";
/// The domain by which accounts without streams know JetStream.
const DOMAIN: &str = "gander";
/// Where JetStream of that domain is asked.
pub(super) const DOMAIN_API: &str = "$JS.gander.API";
/// Where nats-server has questions of another account answered.
const ANSWERS: &str = "_R_.>";

const HEAD: &str = "\
# Who may do what at nats-server. `gander nats accounts` writes this file: change nothing by hand.
# Public keys come from the environment; `gander nats keys` writes them. docs/nats.md explains it.
";

/// The name of somebody who reads incident events: of an account, a user and a durable consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscriber(String);

impl std::str::FromStr for Subscriber {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 32 {
            return Err("a letter, then letters and digits, all small, at most 32".to_owned());
        }
        if name.eq_ignore_ascii_case(STREAMS) || User::ALL.iter().any(|user| user.name() == name) {
            return Err("Gander itself has this name".to_owned());
        }
        Ok(Self(name.to_owned()))
    }
}

impl Subscriber {
    /// The one that there is where none is named.
    #[must_use]
    pub fn usual() -> Self {
        Self("subscriber".to_owned())
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    fn account(&self) -> String {
        self.0.to_uppercase()
    }
}

/// The variable that has the public key of a user.
pub(super) fn variable(name: &str) -> String {
    format!("NATS_{}_NKEY", name.to_uppercase())
}

/// The accounts, as configuration of nats-server.
#[must_use]
pub fn accounts(subscribers: &[Subscriber]) -> String {
    let mut all = Accounts::default();
    for user in User::ALL {
        all.user(user);
    }
    for subscriber in subscribers {
        all.subscriber(subscriber);
    }
    all.text(subscribers)
}

/// What goes to other accounts, by subject.
#[derive(Default)]
struct Export {
    kind: &'static str,
    /// Whether a question has several answers.
    many: bool,
    accounts: BTreeSet<String>,
}

#[derive(Default)]
struct Account {
    users: Vec<String>,
    exports: BTreeMap<String, Export>,
    imports: BTreeSet<String>,
}

#[derive(Default)]
struct Accounts(BTreeMap<String, Account>);

impl Accounts {
    fn account(&mut self, name: &str) -> &mut Account {
        self.0.entry(name.to_owned()).or_default()
    }

    /// A user, and what its account lets through for it.
    fn user(&mut self, user: User) {
        let rights = user.rights();
        let mut publish: BTreeSet<String> =
            rights.stores.iter().chain(rights.sends).map(|&subject| subject.to_owned()).collect();
        let requests = rights.requests().map(|request| (request, false));
        let reading = rights.reading().map(|request| (request, true));
        for (request, many) in requests.chain(reading) {
            publish.insert(format!("{}.{request}", user.api()));
            self.service(user.account(), &format!("{API}.{request}"), many);
        }
        for subject in rights.stores {
            self.service(user.account(), subject, false);
        }
        let mut subscribe = BTreeSet::from([format!("{}.>", user.inbox())]);
        for flow in FLOWS {
            if flow.from == user {
                publish.insert(flow.subject.to_owned());
            }
            if flow.to.contains(&user) {
                subscribe.insert(flow.subject.to_owned());
                self.flow(flow.way, flow.subject, flow.from.account(), user.account());
                if flow.way == Way::Asked {
                    publish.insert(ANSWERS.to_owned());
                }
            }
        }
        let text = user_text(&variable(user.name()), &publish, &subscribe);
        self.account(user.account()).users.push(text);
    }

    /// Lets messages through that the account of the streams takes.
    fn service(&mut self, from: &str, subject: &str, many: bool) {
        if from == STREAMS {
            return;
        }
        self.export("service", STREAMS, subject, from, many);
        let renamed =
            subject.strip_prefix(API).map(|request| format!(", to: \"{DOMAIN_API}{request}\""));
        let renamed = renamed.unwrap_or_default();
        let service = format!("service: {{ account: {STREAMS}, subject: \"{subject}\" }}");
        let import = format!("{{ {service}{renamed} }}");
        self.account(from).imports.insert(import);
    }

    /// Lets through what goes past the streams.
    fn flow(&mut self, way: Way, subject: &str, from: &str, to: &str) {
        if from == to {
            return;
        }
        match way {
            Way::Said => {
                self.export("stream", from, subject, to, false);
                let import = format!("{{ stream: {{ account: {from}, subject: \"{subject}\" }} }}");
                self.account(to).imports.insert(import);
            }
            Way::Asked => {
                self.export("service", to, subject, from, true);
                let import = format!("{{ service: {{ account: {to}, subject: \"{subject}\" }} }}");
                self.account(from).imports.insert(import);
            }
        }
    }

    fn export(&mut self, kind: &'static str, of: &str, subject: &str, to: &str, many: bool) {
        let export = self.account(of).exports.entry(subject.to_owned()).or_default();
        (export.kind, export.many) = (kind, many);
        export.accounts.insert(to.to_owned());
    }

    /// Somebody who reads incident events by the durable consumer of its name, and nothing else.
    fn subscriber(&mut self, subscriber: &Subscriber) {
        let (account, name) = (subscriber.account(), subscriber.name());
        let of = format!("{}.{name}", subject::INCIDENTS_STREAM);
        self.service(&account, &format!("{API}.CONSUMER.INFO.{of}"), false);
        self.service(&account, &format!("{API}.CONSUMER.MSG.NEXT.{of}"), true);
        // The second is how a later nats-server names an acknowledgement.
        self.service(&account, &format!("$JS.ACK.{of}.>"), false);
        self.service(&account, &format!("$JS.ACK.*.*.{of}.>"), false);
        self.account(&account).users.push(format!("{{ nkey: ${} }}", variable(name)));
    }

    fn text(mut self, subscribers: &[Subscriber]) -> String {
        let mut text = format!("{HEAD}accounts {{\n");
        let mut write = |name: &str, about: &str, has_streams: bool| {
            let account = self.0.remove(name).unwrap_or_default();
            let _ = writeln!(text, "{about}  {name} {{");
            if has_streams {
                text.push_str("    jetstream: enabled\n");
            }
            let exports =
                account.exports.iter().map(|(subject, export)| export_text(subject, export));
            block(&mut text, "users", account.users.into_iter());
            block(&mut text, "exports", exports);
            block(&mut text, "imports", account.imports.into_iter());
            text.push_str("  }\n");
        };
        write(
            STREAMS,
            "  # Every stream is of this account; admin and operators are in it.\n",
            true,
        );
        write(User::Gateway.account(), "  # Gateways.\n", false);
        write(User::Worker.account(), "  # Workers.\n", false);
        for subscriber in subscribers {
            let about = format!(
                "  # Reads incident events by the durable consumer `{}`, with JetStream of the domain `{DOMAIN}`.\n",
                subscriber.name()
            );
            write(&subscriber.account(), &about, false);
        }
        text.push_str("}\n");
        text
    }
}

fn block(text: &mut String, name: &str, entries: impl ExactSizeIterator<Item = String>) {
    if entries.len() == 0 {
        return;
    }
    let _ = writeln!(text, "    {name}: [");
    for entry in entries {
        let _ = writeln!(text, "      {entry}");
    }
    text.push_str("    ]\n");
}

fn export_text(subject: &str, export: &Export) -> String {
    let Export { kind, many, accounts } = export;
    let accounts = accounts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let answers = if *many { ", response_type: stream" } else { "" };
    format!("{{ {kind}: \"{subject}\", accounts: [{accounts}]{answers} }}")
}

fn user_text(variable: &str, publish: &BTreeSet<String>, subscribe: &BTreeSet<String>) -> String {
    let list = |subjects: &mut dyn Iterator<Item = &str>| {
        subjects.map(|subject| format!("\n              \"{subject}\"")).collect::<String>()
    };
    let allow = list(&mut publish.iter().map(String::as_str));
    let subscribe = list(&mut subscribe.iter().map(String::as_str));
    format!(
        "{{
        nkey: ${variable}
        permissions: {{
          publish: {{
            allow: [{allow}
            ]
          }}
          subscribe: {{
            allow: [{subscribe}
            ]
          }}
        }}
      }}"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The copies that are deployed: Kustomize takes no file from outside its folder.
    const COPIES: [&str; 2] =
        ["../../deploy/nats-accounts.conf", "../../deploy/kubernetes/base/nats-accounts.conf"];

    #[test]
    fn the_accounts_in_deploy_are_current() {
        let wanted = accounts(&[Subscriber::usual()]);
        let stale = COPIES.iter().filter(|copy| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(copy);
            let stale = std::fs::read_to_string(&path).ok().as_ref() != Some(&wanted);
            if stale {
                std::fs::write(&path, &wanted).unwrap();
            }
            stale
        });
        let stale: Vec<_> = stale.collect();
        assert!(stale.is_empty(), "{stale:?} was stale; written anew: read and commit it");
    }

    #[test]
    fn a_subscriber_has_a_name_of_its_own() {
        let parse = str::parse::<Subscriber>;
        assert!(["billing", "pager2"].into_iter().all(|name| parse(name).is_ok()));
        for wrong in ["Billing", "a.b", "", "2nd", "a-b", "gander", "worker"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
