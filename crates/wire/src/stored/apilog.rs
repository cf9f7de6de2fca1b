//! Parts of entries of the API log, as GANDER_APILOG holds them.
//!
//! An entry is what all parts with one id say together; of parts with the same place the newest
//! epoch counts, and of those the last one, so a part may be written again. Must not know who writes
//! or shows them.

use bytes::Bytes;
use domain::id::{AlertId, ServiceId, TokenId};
use domain::reach::Reach;
use prost::Message;

use super::{Error, VERSION, check_version, field, fixed};
use crate::proto::gander::stored::v1 as stored;

/// A part of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPart {
    /// The alert, or the call where no alert was made of it.
    pub alert: AlertId,
    /// The token.
    pub token: TokenId,
    /// What it tells.
    pub part: Part,
}

/// What a part tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// What was asked and answered.
    Call(stored::CallPart),
    /// Why it came to that in one partition.
    Reasons(stored::ReasonsPart),
}

/// Which part of an entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// What was asked and answered.
    Call,
    /// The reasons of this partition that begin after this service; with the first where there is none.
    Reasons(u32, Option<ServiceId>),
}

/// What a token reaches, as a call tells it: nothing for everything, else a resource name.
#[must_use]
pub fn target(reach: Reach) -> String {
    match reach {
        Reach::Global => String::new(),
        Reach::Team(team) => format!("teams/{team}"),
        Reach::Service(team, service) => format!("teams/{team}/services/{service}"),
    }
}

impl LogPart {
    /// Which part it is.
    ///
    /// # Errors
    /// It does not say so.
    pub fn place(&self) -> Result<Place, Error> {
        match &self.part {
            Part::Call(_) => Ok(Place::Call),
            Part::Reasons(reasons) => {
                let after = match reasons.after.as_ref() {
                    [] => None,
                    id => Some(ServiceId::from_bytes(fixed(id, "reasons.after")?)),
                };
                Ok(Place::Reasons(reasons.partition, after))
            }
        }
    }

    /// Of parts with the same place those of the newest epoch count, and of those the last one.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        match &self.part {
            Part::Call(_) => 0,
            Part::Reasons(reasons) => reasons.epoch,
        }
    }

    /// The bytes of the part.
    #[must_use]
    pub fn encode(self) -> Bytes {
        use stored::api_log_part::Part as Kind;
        let part = match self.part {
            Part::Call(call) => Kind::Call(call),
            Part::Reasons(reasons) => Kind::Reasons(reasons),
        };
        let part = stored::ApiLogPart {
            version: VERSION,
            alert: Bytes::copy_from_slice(self.alert.as_bytes()),
            token: Bytes::copy_from_slice(self.token.as_bytes()),
            part: Some(part),
        };
        part.encode_to_vec().into()
    }

    /// Reads a part.
    ///
    /// # Errors
    /// The bytes are no part that this build can read.
    pub fn decode(bytes: &Bytes) -> Result<Self, Error> {
        use stored::api_log_part::Part as Kind;
        let part = stored::ApiLogPart::decode(bytes.clone())?;
        check_version(part.version)?;
        let found = Self {
            alert: AlertId::from_bytes(fixed(&part.alert, "part.alert")?),
            token: TokenId::from_bytes(fixed(&part.token, "part.token")?),
            part: match part.part.ok_or(field("part.part"))? {
                Kind::Call(call) => Part::Call(call),
                Kind::Reasons(reasons) => Part::Reasons(reasons),
            },
        };
        found.place()?;
        Ok(found)
    }
}
