//! What a process can say of itself: version, machine, start, durability, certificates.
//!
//! Must not know who asks.

use std::sync::{Arc, Mutex, OnceLock};

use domain::filter::Key;
use domain::id::InstanceId;
use domain::time::Timestamp;
use wire::stored::member::{MAX_CERTIFICATES, MAX_TEXT, Member, Role};

use crate::clock::{Clock, SystemClock};
use crate::durability::Level;

/// The version of this build.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

type Ends = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// What a process can say of itself. Cheap to clone.
#[derive(Clone)]
pub struct Facts(Arc<Inner>);

struct Inner {
    started_at: Timestamp,
    host: String,
    durability: OnceLock<Level>,
    redaction: OnceLock<String>,
    certificates: Mutex<Vec<(Role, &'static str, Ends)>>,
}

impl Facts {
    /// Those of a process that starts.
    #[must_use]
    pub fn of_this_process() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().filter(|c| !c.is_control()).take(64).collect();
        Self(Arc::new(Inner {
            started_at: SystemClock.now(),
            host,
            durability: OnceLock::new(),
            redaction: OnceLock::new(),
            certificates: Mutex::default(),
        }))
    }

    /// What acknowledgements survive is known; the first word counts.
    pub fn durability(&self, level: Level) {
        let _ = self.0.durability.set(level);
    }

    /// What is left out of the API log is known; the first word counts.
    pub fn redaction(&self, paths: &[Key]) {
        let _ = self.0.redaction.set(digest(paths));
    }

    /// A listener of a role serves with a certificate, whose end is asked for each time: it may be
    /// replaced while the process runs.
    pub fn certificate(
        &self,
        role: Role,
        listener: &'static str,
        ends: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) {
        let mut all = self.0.certificates.lock().expect("no holder of this lock panics");
        all.push((role, listener, Box::new(ends)));
    }

    /// What a role of this process says of itself.
    #[must_use]
    pub fn member(&self, role: Role, instance: InstanceId, control_sequence: u64) -> Member {
        let certificates = self.0.certificates.lock().expect("no holder of this lock panics");
        let said = certificates.iter().filter(|(of, ..)| *of == role).take(MAX_CERTIFICATES);
        Member {
            role,
            instance,
            build: cut(BUILD),
            host: cut(&self.0.host),
            pid: std::process::id(),
            started_at: self.0.started_at,
            control_sequence,
            durability: self.0.durability.get().unwrap_or(&Level::Unknown).name().to_owned(),
            certificates: said.map(|(_, name, ends)| (cut(name), ends())).collect(),
            redaction: match role {
                Role::Admin => String::new(),
                Role::Gateway | Role::Worker => self.0.redaction.get().cloned().unwrap_or_default(),
            },
        }
    }
}

/// The same for the same paths, in whatever order.
fn digest(paths: &[Key]) -> String {
    let mut paths: Vec<_> = paths.iter().map(Key::to_string).collect();
    paths.sort_unstable();
    paths.dedup();
    blake3::hash(paths.join("\n").as_bytes()).to_hex()[..16].to_owned()
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_can_be_read_and_a_replaced_certificate_shows() {
        let facts = Facts::of_this_process();
        let ends = Arc::new(Mutex::new(Timestamp::from_micros(1)));
        let asked = Arc::clone(&ends);
        facts.certificate(Role::Gateway, "http", move || *asked.lock().unwrap());
        facts.durability(Level::PowerSafe);
        facts.durability(Level::Unknown);
        let paths = ["b", "a[*].c", "b"].map(|path| Key::parse(path).unwrap());
        facts.redaction(&paths);
        facts.redaction(&[]);
        let me = InstanceId::from_bytes([1; 16]);
        *ends.lock().unwrap() = Timestamp::from_micros(2);
        assert_eq!(facts.member(Role::Worker, me, 7).certificates, []);
        let said = facts.member(Role::Gateway, me, 7);
        assert_eq!(Member::decode(&said.encode()).unwrap(), said);
        assert_eq!((said.durability.as_str(), said.control_sequence), ("power-safe", 7));
        assert_eq!(said.redaction, digest(&[paths[1].clone(), paths[0].clone()]));
        assert_ne!(said.redaction, digest(&[]));
        assert_eq!(facts.member(Role::Admin, me, 7).redaction, "");
        let ends = Timestamp::from_micros(2);
        assert_eq!(said.certificates, [("http".to_owned(), ends)]);
    }
}
