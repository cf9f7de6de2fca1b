//! What all calls do: who calls, may it, carry out, wait until it is in force.
//!
//! Must not know single methods.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::aggregate::Rejection;
use domain::commit::{self, Change};
use domain::directory::Directory;
use domain::id::PrincipalId;
use domain::secret::{Kind, Secret};
use domain::time::Timestamp;
use prost::Message;
use runtime::clock::Clock;
use runtime::places::Places;
use runtime::random::{Random, id_bytes};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::error;
use super::page::{self, Page};
use crate::access::{About, Caller, Presented, authenticate, authorize, presented};
use crate::bootstrap;
use crate::gateways::Gateways;
use crate::last_use::LastUses;
use crate::store::{Command, Done, Store};

/// How long a command may take to be stored.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// What calls need. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    /// What is configured.
    pub store: Store,
    /// The gateways that a change must reach.
    pub gateways: Gateways,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and secrets.
    pub random: Arc<dyn Random>,
    /// When tokens were last used.
    pub last_uses: LastUses,
    /// Where the bootstrap credential is, until it has been used.
    pub bootstrap: Arc<Path>,
    /// What page tokens are sealed with.
    pub pages: page::Key,
    /// Places for trying filters.
    pub trying: Places<PrincipalId>,
    /// Places for waiting for one of those.
    pub waiting: Places<PrincipalId>,
}

impl Calls {
    /// Who calls.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        self.caller_with(presented(metadata)?)
    }

    /// Who calls with this credential now: a call that lasts asks again.
    pub fn caller_with(&self, presented: Presented) -> Result<Caller, Status> {
        authenticate(presented, &self.store, &*self.clock)
    }

    /// Who calls and what is asked, if that is about nothing that need be read first.
    pub fn admit<T>(
        &self,
        request: Request<T>,
        method: &str,
        about: impl FnOnce(&T) -> Result<About, Status>,
    ) -> Result<(Caller, T), Status> {
        let caller = self.caller(request.metadata())?;
        let message = request.into_inner();
        // What cannot be read is about nothing, so only who may do all learns what is wrong.
        match about(&message) {
            Ok(about) => authorize(&caller, method, about)?,
            Err(wrong) => {
                authorize(&caller, method, About::default())?;
                return Err(wrong);
            }
        }
        Ok((caller, message))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh id.
    pub fn fresh_id(&self) -> [u8; 16] {
        id_bytes(self.clock.now(), &*self.random)
    }

    /// A fresh secret.
    pub fn secret(&self, kind: Kind) -> Secret {
        bootstrap::secret(kind, &*self.random)
    }

    /// Which page of a list is asked for; `question` is everything else in the request.
    pub fn page(&self, size: i32, token: &str, question: &str) -> Result<Page, Status> {
        Page::parse(&self.pages, size, token, question)
    }

    /// Carries out a command about what has this resource name, empty where it is new, and waits
    /// until every gateway acts on it or refuses everything.
    pub async fn execute(
        &self,
        caller: &Caller,
        name: &str,
        request: Option<commit::Request>,
        decide: impl FnOnce(&Directory, Timestamp) -> Result<Vec<Change>, Rejection> + Send + 'static,
    ) -> Result<Done, Status> {
        let command = Command {
            actor: caller.actor(),
            request,
            decide: Box::new(decide),
            span: tracing::Span::current(),
        };
        let done = tokio::time::timeout(STORE_DEADLINE, self.store.execute(command)).await;
        let done = done.unwrap_or(Err(crate::store::Error::Unavailable));
        let done = done.map_err(|why| error::command(why, name))?;
        match self.gateways.act_on(done.sequence).await {
            Ok(()) => Ok(done),
            Err(behind) => Err(error::propagation_pending(&behind)),
        }
    }
}

/// What a request asked, if it has an id: a repeat with other content is noticed.
pub fn request_of<M: Message + Clone>(
    method: &str,
    id: &str,
    message: &M,
) -> Result<Option<commit::Request>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    let id = uuid::Uuid::try_parse(id).map_err(|_| error::field("request_id", "must be a UUID"))?;
    let mut hasher = blake3::Hasher::new_derive_key("gander 2026-11 request digest v1");
    hasher.update(method.as_bytes()).update(&message.encode_to_vec());
    Ok(Some(commit::Request { id: id.into_bytes(), digest: hasher.finalize().into() }))
}
