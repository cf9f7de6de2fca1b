//! The ids that Gander mints, each a type of its own so that arguments cannot be swapped.
//!
//! Must not know how an id is drawn: time and randomness come from outside.

use uuid::Uuid;

/// An id that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID in its hyphenated form")]
pub struct Error;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these sixteen bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes of this id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the hyphenated lower-case form that `Display` writes.
            ///
            /// # Errors
            /// Any other text, also other spellings of a UUID: an id has one spelling.
            pub fn parse(text: &str) -> Result<Self, Error> {
                let uuid = Uuid::try_parse(text).map_err(|_| Error)?;
                let id = Self(uuid.into_bytes());
                if id.to_string() == text { Ok(id) } else { Err(Error) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Error;
            fn try_from(bytes: &[u8]) -> Result<Self, Error> {
                bytes.try_into().map(Self).map_err(|_| Error)
            }
        }
    )*};
}

ids! {
    /// A team.
    TeamId;
    /// A service of a team.
    ServiceId;
    /// An API filter of a service.
    FilterId;
    /// A maintenance window of a service.
    MaintenanceId;
    /// An API token; not its secret.
    TokenId;
    /// A principal: who administers Gander.
    PrincipalId;
    /// An alert: one accepted HTTP call. A `UUIDv7` of the time of its arrival.
    AlertId;
    /// An incident. It begins with the time of the alert that created it.
    IncidentId;
    /// An incident event.
    EventId;
    /// A running process: a gateway, a worker or an admin.
    InstanceId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = TeamId::from_bytes([0xab; 16]);
        assert_eq!(TeamId::parse(&id.to_string()), Ok(id));
        assert_eq!(TeamId::parse(&id.to_string().to_uppercase()), Err(Error));
        assert_eq!(TeamId::parse(&id.to_string().replace('-', "")), Err(Error));
        assert_eq!(TeamId::parse(""), Err(Error));
    }
}
