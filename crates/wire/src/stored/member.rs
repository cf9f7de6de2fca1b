//! What a process says of itself in a roll call.
//!
//! It is not kept anywhere, but processes of other versions read it. Must not know how it is asked
//! for.

use bytes::Bytes;
use domain::id::InstanceId;
use domain::time::Timestamp;
use prost::Message;

use super::{Error, VERSION, check_version, field, fixed};
use crate::proto::gander::stored::v1 as stored;

/// The most bytes of a text that a member says.
pub const MAX_TEXT: usize = 255;
/// The most certificates that a member says.
pub const MAX_CERTIFICATES: usize = 16;

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Admin.
    Admin,
    /// A gateway.
    Gateway,
    /// A worker.
    Worker,
}

impl Role {
    const ALL: [Self; 3] = [Self::Admin, Self::Gateway, Self::Worker];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it does.
    pub role: Role,
    /// Its id.
    pub instance: InstanceId,
    /// Its version of Gander.
    pub build: String,
    /// The name of its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// The last change of configuration that it acts on.
    pub control_sequence: u64,
    /// What an acknowledgement of nats-server survives, by the name of the level.
    pub durability: String,
    /// Each listener with a certificate, and when that ends.
    pub certificates: Vec<(String, Timestamp)>,
    /// A digest of the paths that it leaves out of the API log; empty where that is not said.
    pub redaction: String,
}

impl Member {
    /// The bytes of the answer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let certificate = |(listener, expires_at): &(String, Timestamp)| {
            let (listener, expires_at) = (listener.clone(), expires_at.as_micros());
            stored::MemberCertificate { listener, expires_at }
        };
        let member = stored::Member {
            version: VERSION,
            role: self.role.name().to_owned(),
            instance: Bytes::copy_from_slice(self.instance.as_bytes()),
            build: self.build.clone(),
            host: self.host.clone(),
            pid: self.pid,
            started_at: self.started_at.as_micros(),
            control_sequence: self.control_sequence,
            durability: self.durability.clone(),
            certificates: self.certificates.iter().map(certificate).collect(),
            redaction: self.redaction.clone(),
        };
        member.encode_to_vec().into()
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The bytes are no answer that this build can read, or say more than they may.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let member = stored::Member::decode(bytes.clone())?;
        check_version(member.version)?;
        let role = Role::ALL.into_iter().find(|role| role.name() == member.role);
        if !is_bounded(&member) {
            return Err(field("member.text"));
        }
        let certificates = member.certificates.into_iter();
        Ok(Self {
            role: role.ok_or(field("member.role"))?,
            instance: InstanceId::from_bytes(fixed(&member.instance, "member.instance")?),
            build: member.build,
            host: member.host,
            pid: member.pid,
            started_at: Timestamp::from_micros(member.started_at),
            control_sequence: member.control_sequence,
            durability: member.durability,
            certificates: certificates
                .map(|one| (one.listener, Timestamp::from_micros(one.expires_at)))
                .collect(),
            redaction: member.redaction,
        })
    }
}

fn is_bounded(member: &stored::Member) -> bool {
    let texts = [&member.build, &member.host, &member.durability, &member.redaction].into_iter();
    let mut texts = texts.chain(member.certificates.iter().map(|one| &one.listener));
    member.certificates.len() <= MAX_CERTIFICATES && texts.all(|text| text.len() <= MAX_TEXT)
}
