//! Keys of users of nats-server: Ed25519, the seed in a file of mode 0600, the public key at
//! nats-server. Who comes in signs what nats-server makes up.
//!
//! Must not know what a user may do.

use std::path::{Path, PathBuf};

use nkeys::{KeyPair, KeyPairType};

use super::accounts::{Subscriber, variable};
use super::rights::User;
use crate::random::Random;
use crate::secret_file;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// What is in it is no seed.
    #[error("{path} holds no seed of a user of nats-server: `gander nats keys` makes one")]
    NoSeed {
        /// The file.
        path: PathBuf,
    },
}

/// A key with its seed.
pub struct Key(KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.public())
    }
}

impl Key {
    /// A new one.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let key = KeyPair::new_from_raw(KeyPairType::User, bytes);
        Self(key.expect("any 32 bytes are the seed of an Ed25519 key"))
    }

    /// The one in a file that nobody but its owner and its group reads.
    ///
    /// # Errors
    /// The file cannot be used, or holds something else.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let seed = secret_file::read_of_group(path)?;
        let key = KeyPair::from_seed(&seed).ok();
        let key = key.filter(|key| matches!(key.key_pair_type(), KeyPairType::User));
        key.map(Self).ok_or_else(|| KeyError::NoSeed { path: path.to_owned() })
    }

    /// What nats-server knows it by.
    #[must_use]
    pub fn public(&self) -> String {
        self.0.public_key()
    }

    /// The signature of what nats-server has made up.
    pub(super) fn sign(&self, nonce: &[u8]) -> Vec<u8> {
        self.0.sign(nonce).expect("a key with its seed can sign")
    }

    fn write(&self, path: &Path) -> Result<(), KeyError> {
        let seed = self.0.seed().expect("the key was drawn with its seed");
        Ok(secret_file::write(path, &seed)?)
    }
}

/// The keys of all users, each in a file of a folder.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
    public: Vec<(String, String)>,
}

impl Keys {
    /// The keys in this folder; those that are missing are made.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn ensure(
        folder: &Path,
        subscribers: &[Subscriber],
        random: &dyn Random,
    ) -> Result<Self, KeyError> {
        let users = User::ALL.iter().map(|user| user.name());
        let mut public = Vec::new();
        for name in users.chain(subscribers.iter().map(Subscriber::name)) {
            let path = file(folder, name);
            if !path.exists() {
                Key::draw(random).write(&path)?;
            }
            public.push((variable(name), Key::read(&path)?.public()));
        }
        Ok(Self { folder: folder.to_owned(), public })
    }

    /// The file with the seed of a user.
    #[must_use]
    pub fn file(&self, user: User) -> PathBuf {
        file(&self.folder, user.name())
    }

    /// Variables of nats-server, each with the public key that it has.
    #[must_use]
    pub fn variables(&self) -> &[(String, String)] {
        &self.public
    }

    /// Configuration of nats-server with public keys in place of their variables.
    #[must_use]
    pub fn filled_in(&self, configuration: &str) -> String {
        self.public.iter().fold(configuration.to_owned(), |text, (variable, key)| {
            text.replace(&format!("${variable}"), key)
        })
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.nk"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_key_is_made_once_and_its_seed_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ensure = || Keys::ensure(folder.path(), &[Subscriber::usual()], &SystemRandom).unwrap();
        let (first, again) = (ensure(), ensure());
        assert_eq!(first.variables(), again.variables());
        let different: std::collections::BTreeSet<_> =
            first.variables().iter().map(|(_, key)| key).collect();
        assert_eq!(different.len(), User::ALL.len() + 1);
        for user in User::ALL {
            let mode = first.file(user).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{user:?}");
        }
    }

    #[test]
    fn what_is_no_seed_of_a_user_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nk");
        let account = KeyPair::new_account().seed().unwrap();
        for wrong in ["hunter2", "", account.as_str()] {
            secret_file::write(&path, wrong).unwrap();
            let told = Key::read(&path).unwrap_err().to_string();
            assert!(told.contains("holds no seed") && !told.contains("hunter2"), "{told}");
        }
        let key = Key::draw(&SystemRandom);
        let seed = key.0.seed().unwrap();
        assert!(!format!("{key:?}").contains(&seed));
    }

    #[test]
    fn a_key_may_be_of_a_group_and_not_of_everybody() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nk");
        Key::draw(&SystemRandom).write(&path).unwrap();
        for (mode, good) in [(0o400, true), (0o440, true), (0o644, false), (0o660, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Key::read(&path).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn a_variable_is_filled_in_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::ensure(folder.path(), &[Subscriber::usual()], &SystemRandom).unwrap();
        let text = keys.filled_in(&super::super::accounts(&[Subscriber::usual()]));
        assert!(!text.contains("$NATS_") && keys.public.iter().all(|(_, key)| text.contains(key)));
    }
}
