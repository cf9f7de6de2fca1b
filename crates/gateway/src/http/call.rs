//! What is kept of a call with a tracked token: gathered while it is answered, then given to the
//! API log.
//!
//! A call has one entry however it ends: one whose client goes away before the answer is kept with
//! the status 0. Of a call that is not tracked nothing of this is made. Whether it still is is looked
//! at again once its body is there, or when it ends without: tracking that has ended meanwhile, by
//! itself or because somebody has switched it off, leaves nothing of it, and the workers tell nothing
//! of it either. Must not know how it is written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::id::{AlertId, TokenId};
use http::request;
use runtime::random::id_bytes;
use tokio::time::Instant;
use wire::partition::PartitionSet;
use wire::proto::gander::stored::v1::CallPart;
use wire::stored::apilog::{LogPart, Part, target};

use super::credential::query;
use super::{Answer, Handler, redact};
use crate::config::{ANSWER_DEADLINE, Config};
use crate::log::Log;
use crate::tokens::Admitted;

/// How long an answer waits for room in the log, as long as it is in time.
const WAIT: Duration = Duration::from_millis(250);

/// A call of a tracked token.
pub struct Call {
    /// The alert that was made of it; until there is one, an id of its own.
    pub alert: AlertId,
    /// The partitions that will tell reasons.
    pub partitions: PartitionSet,
    token: TokenId,
    is_tracked: Box<dyn Fn() -> bool + Send + Sync>,
    log: Log,
    config: Arc<Config>,
    begun: Instant,
    body: Option<Body>,
    part: CallPart,
    told: bool,
}

struct Body {
    received: Bytes,
    plain: bool,
    decoded: Option<Bytes>,
    at: Instant,
}

impl Call {
    /// Begins to keep a call; none where its token is not tracked. `announced` is the length of its
    /// body, where it says so.
    pub fn begin(
        handler: &Handler,
        admitted: &Admitted,
        peer: IpAddr,
        head: &request::Parts,
        announced: Option<u64>,
    ) -> Option<Self> {
        admitted.tracked_until?;
        let (tokens, clock, token) =
            (handler.tokens.clone(), Arc::clone(&handler.clock), admitted.token);
        let sent = head.uri.query();
        let part = CallPart {
            received_at_micros: admitted.at.as_micros(),
            target: target(admitted.reach),
            from: redact::source(&query(&redact::query(sent.unwrap_or_default()))),
            method: head.method.to_string(),
            uri: redact::uri(head.uri.path(), sent),
            headers: redact::headers(&head.headers),
            body_bytes: announced.unwrap_or(0),
            client: handler.client(peer, &head.headers).to_string(),
            ..CallPart::default()
        };
        Some(Self {
            alert: AlertId::from_bytes(id_bytes(admitted.at, &*handler.random)),
            partitions: PartitionSet::default(),
            token,
            is_tracked: Box::new(move || tokens.tracked_until(token, clock.now()).is_some()),
            log: handler.log.clone(),
            config: Arc::clone(&handler.config),
            begun: Instant::now(),
            body: None,
            part,
            told: false,
        })
    }

    /// Forgets a call of which more is there only now, where its token is not tracked any more.
    pub fn forget_untracked(kept: &mut Option<Box<Self>>) {
        if let Some(call) = kept.take_if(|call| !(call.is_tracked)()) {
            call.forget();
        }
    }

    /// Leaves nothing of it.
    pub fn forget(mut self) {
        self.told = true;
    }

    /// Its body is there, `plain` where it is not encoded.
    pub fn received(&mut self, body: &Bytes, plain: bool) {
        self.part.body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let (received, at) = (body.clone(), Instant::now());
        self.body = Some(Body { received, plain, decoded: None, at });
    }

    /// Its body is decoded.
    pub fn decoded(&mut self, decoded: &Bytes) {
        if let Some(body) = &mut self.body {
            body.decoded = Some(decoded.clone());
        }
    }

    /// Gives it to the log with its answer. Waits a moment where the log has no room, but not so long
    /// that the answer is late.
    pub async fn answered(mut self, answer: &Answer, code: Option<&'static str>) {
        if self.ends_untracked() {
            return self.forget();
        }
        self.part.status = answer.status().as_u16().into();
        self.part.answer = answer.body().clone().into_inner().unwrap_or_default();
        self.part.code = code.unwrap_or_default().to_owned();
        let wait = Instant::now() + WAIT;
        let until = self.body.as_ref().map_or(wait, |body| wait.min(body.at + ANSWER_DEADLINE));
        let part = self.tell();
        self.log.keep(part, until).await;
    }

    /// Whether it ends without a body, and its token is not tracked any more.
    fn ends_untracked(&self) -> bool {
        self.body.is_none() && !(self.is_tracked)()
    }

    fn tell(&mut self) -> LogPart {
        self.told = true;
        let mut call = std::mem::take(&mut self.part);
        if let Some(body) = self.body.take() {
            let paths = &self.config.api_log_redact;
            let kept = redact::body(&body.received, body.plain, body.decoded.as_ref(), paths);
            call.body_cut = kept.as_ref().is_none_or(|kept| kept.cut);
            call.body_redacted = kept.as_ref().is_some_and(|kept| kept.redacted);
            call.body = kept.map(|kept| kept.bytes.into());
        }
        call.duration_micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        call.partitions = self.partitions.0;
        LogPart { alert: self.alert, token: self.token, part: Part::Call(call) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.told && !self.ends_untracked() {
            let part = self.tell();
            self.log.keep_now(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::config::parsed;

    fn call(log: &Log, tracked: &Arc<AtomicBool>) -> Call {
        let tracked = Arc::clone(tracked);
        Call {
            alert: AlertId::from_bytes([1; 16]),
            partitions: PartitionSet::default(),
            token: TokenId::from_bytes([2; 16]),
            is_tracked: Box::new(move || tracked.load(Ordering::SeqCst)),
            log: log.clone(),
            config: Arc::new(parsed("")),
            begun: Instant::now(),
            body: None,
            part: CallPart::default(),
            told: false,
        }
    }

    #[tokio::test]
    async fn a_call_whose_body_comes_after_the_tracking_is_forgotten() {
        let (log, waiting) = Log::unwritten();
        let tracked = Arc::new(AtomicBool::new(true));
        let mut kept = Some(Box::new(call(&log, &tracked)));
        Call::forget_untracked(&mut kept);
        kept.as_mut().unwrap().received(&Bytes::from_static(b"{}"), true);
        tracked.store(false, Ordering::SeqCst);
        drop(kept);
        assert_eq!(waiting(), 1, "it was there in time");
        tracked.store(true, Ordering::SeqCst);
        let mut kept = Some(Box::new(call(&log, &tracked)));
        tracked.store(false, Ordering::SeqCst);
        Call::forget_untracked(&mut kept);
        assert!(kept.is_none() && waiting() == 1);
    }

    #[tokio::test]
    async fn a_call_that_ends_without_a_body_after_the_tracking_is_forgotten() {
        let (log, waiting) = Log::unwritten();
        let tracked = Arc::new(AtomicBool::new(true));
        let (gone, refused) = (call(&log, &tracked), call(&log, &tracked));
        let kept = call(&log, &tracked);
        kept.answered(&Answer::default(), None).await;
        assert_eq!(waiting(), 1);
        tracked.store(false, Ordering::SeqCst);
        drop(gone);
        refused.answered(&Answer::default(), None).await;
        assert_eq!(waiting(), 1);
    }
}
