//! Stored forms: what the journal and the streams hold, and how it becomes domain types.
//!
//! One place for versions: a form of a newer version is refused, older ones are brought up here.
//! Must not know where the bytes lie.

pub mod alert;
pub mod apilog;
pub mod backup;
pub mod control;
pub mod filter;
pub mod last_use;
pub mod lease;
mod maintenance;
pub mod member;
pub mod worker;

/// The version of every stored form that this build writes.
pub const VERSION: u32 = 1;

/// Stored bytes that this build cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are not the protobuf message that they should be.
    #[error("stored bytes are not the expected message")]
    Decode(#[from] prost::DecodeError),
    /// A newer build wrote them.
    #[error(
        "a newer version of Gander wrote this (form {found}, known {VERSION}): upgrade this process"
    )]
    Newer {
        /// The version found.
        found: u32,
    },
    /// A field breaks a rule.
    #[error("stored field {field} is missing or broken")]
    Field {
        /// The field.
        field: &'static str,
    },
}

pub(crate) const fn field(field: &'static str) -> Error {
    Error::Field { field }
}

pub(crate) const fn check_version(found: u32) -> Result<(), Error> {
    match found {
        VERSION => Ok(()),
        0 => Err(field("version")),
        _ => Err(Error::Newer { found }),
    }
}

pub(crate) fn fixed<const N: usize>(bytes: &[u8], name: &'static str) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| field(name))
}
