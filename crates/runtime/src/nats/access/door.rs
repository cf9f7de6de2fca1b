//! Where nats-server is, and as whom a process comes in.
//!
//! Must not know what it does there.

use std::path::PathBuf;

use async_nats::{Auth, AuthError, ConnectOptions, ServerAddr};

use super::key::{Key, KeyError};
use super::rights::User;
use crate::nats::without_password;

/// What nats-server is reached by. Cheap enough to clone.
#[derive(Clone)]
pub struct Door {
    /// Servers, with commas between them; with a user and a password where they want them.
    pub url: String,
    /// The file of authorities that have signed the servers' certificates; none means those that the
    /// system trusts. With one, nothing is sent in the clear.
    pub ca_file: Option<PathBuf>,
    /// As whom a process comes in, by the key in this file. It is read at each connection, so that
    /// it can be replaced while the process runs.
    pub key: Option<(User, PathBuf)>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, ca_file, key } = self;
        write!(f, "Door({}, {ca_file:?}, {key:?})", without_password(url))
    }
}

impl From<&str> for Door {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), ca_file: None, key: None }
    }
}

impl From<&String> for Door {
    fn from(url: &String) -> Self {
        Self::from(url.as_str())
    }
}

impl From<&Self> for Door {
    fn from(door: &Self) -> Self {
        door.clone()
    }
}

impl Door {
    /// The servers and how they are come into.
    pub(in crate::nats) fn open(&self) -> std::io::Result<(Vec<ServerAddr>, ConnectOptions)> {
        let (servers, options) = match &self.key {
            None => servers(&self.url)?,
            Some((user, path)) => {
                let path = path.clone();
                let options = ConnectOptions::with_auth_callback(move |nonce| {
                    let signed = signed(&path, &nonce);
                    async move { signed }
                });
                (servers(&self.url)?.0, options.custom_inbox_prefix(user.inbox()))
            }
        };
        Ok((
            servers,
            match &self.ca_file {
                Some(file) => options.add_root_certificates(file.clone()).require_tls(true),
                None => options,
            },
        ))
    }

    /// Where JetStream is asked; none for where it is by itself.
    pub(in crate::nats) fn api(&self) -> Option<&'static str> {
        self.key.as_ref().map(|(user, _)| user.api())
    }

    /// Streams that this user may look at; none for who may look at all.
    pub(in crate::nats) fn streams(&self) -> Option<&'static [&'static str]> {
        self.key.as_ref().map(|(user, _)| user.streams())
    }

    /// The key, to find out early that there is none.
    pub(in crate::nats) fn key(&self) -> Result<Option<Key>, KeyError> {
        self.key.as_ref().map(|(_, path)| Key::read(path)).transpose()
    }

    /// What is to be done where nats-server does not let this in.
    pub(in crate::nats) fn advice(&self) -> String {
        match (&self.key, self.key()) {
            (Some((user, path)), Ok(Some(key))) => format!(
                "it does not know the key in {}: does it have {} for {}, and was it reloaded or restarted since?",
                path.display(),
                key.public(),
                super::accounts::variable(user.name()),
            ),
            (Some(_), Err(error)) => error.to_string(),
            (None | Some(_), _) => {
                "say --nats-nkey-file (with `gander up`, an operator's is <data>/nats/keys/operator.nk), or a user and a password in --nats-url".to_owned()
            }
        }
    }
}

fn signed(path: &std::path::Path, nonce: &[u8]) -> Result<Auth, AuthError> {
    let key = Key::read(path).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.nkey = Some(key.public());
    auth.signature = Some(key.sign(nonce));
    Ok(auth)
}

/// The servers of a list, and options with the user and password of the first that has them. All
/// servers get these: the ones that are found later have none in their addresses.
fn servers(list: &str) -> std::io::Result<(Vec<ServerAddr>, ConnectOptions)> {
    let server = |text: &str| match text {
        "" => Err(std::io::Error::other("a server is missing beside a comma")),
        text => text.parse(),
    };
    let servers: Vec<ServerAddr> = list.split(',').map(server).collect::<Result<_, _>>()?;
    let login = servers.iter().find_map(|server| Some((server.username()?, server.password()?)));
    let options = match login {
        Some((user, password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        None => ConnectOptions::new(),
    };
    Ok((servers, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_all_its_servers() {
        let (found, _) = servers("nats://me:secret@one:4222,two:4222").expect("it is a list");
        assert_eq!(found.iter().map(ServerAddr::host).collect::<Vec<_>>(), ["one", "two"]);
        assert!(servers("nats://one:4222,").is_err());
    }

    #[test]
    fn a_door_does_not_show_the_password() {
        assert!(!format!("{:?}", Door::from("nats://me:secret@one:4222")).contains("secret"));
    }
}
