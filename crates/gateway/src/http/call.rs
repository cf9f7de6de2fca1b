//! What is kept of a call with a tracked token: gathered while it is answered, then given to the
//! API log.
//!
//! A call has one entry however it ends: one whose client goes away before the answer is kept with
//! the status 0. Of a call that is not tracked nothing of this is made, and one whose body is there
//! only after the tracking has ended is forgotten, as the workers tell nothing of it either. Must not
//! know how it is written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::id::{AlertId, TokenId};
use domain::time::Timestamp;
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
    tracked_until: Timestamp,
    log: Log,
    config: Arc<Config>,
    begun: Instant,
    body: Option<Body>,
    part: CallPart,
    told: bool,
}

struct Body {
    received: Bytes,
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
        let tracked_until = admitted.tracked_until?;
        let sent = head.uri.query();
        let part = CallPart {
            received_at_micros: admitted.at.as_micros(),
            target: target(admitted.reach),
            from: query(&redact::query(sent.unwrap_or_default())).from.unwrap_or_default(),
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
            token: admitted.token,
            tracked_until,
            log: handler.log.clone(),
            config: Arc::clone(&handler.config),
            begun: Instant::now(),
            body: None,
            part,
            told: false,
        })
    }

    /// Forgets a call of which more is there only now, at a time at which its token is not tracked.
    pub fn forget_late(kept: &mut Option<Self>, now: Timestamp) {
        if let Some(mut call) = kept.take_if(|call| now >= call.tracked_until) {
            call.told = true;
        }
    }

    /// Its body is there.
    pub fn received(&mut self, body: &Bytes) {
        self.part.body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.body = Some(Body { received: body.clone(), decoded: None, at: Instant::now() });
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
        self.part.status = answer.status().as_u16().into();
        self.part.answer = answer.body().clone().into_inner().unwrap_or_default();
        self.part.code = code.unwrap_or_default().to_owned();
        let wait = Instant::now() + WAIT;
        let until = self.body.as_ref().map_or(wait, |body| wait.min(body.at + ANSWER_DEADLINE));
        let part = self.tell();
        self.log.keep(part, until).await;
    }

    fn tell(&mut self) -> LogPart {
        self.told = true;
        let mut call = std::mem::take(&mut self.part);
        if let Some(body) = self.body.take() {
            let paths = &self.config.api_log_redact;
            let kept = redact::body(&body.received, body.decoded.as_ref(), paths);
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
        if !self.told {
            let part = self.tell();
            self.log.keep_now(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parsed;

    const UNTIL: Timestamp = Timestamp::from_micros(1_000_000);

    fn call(log: &Log) -> Call {
        Call {
            alert: AlertId::from_bytes([1; 16]),
            partitions: PartitionSet::default(),
            token: TokenId::from_bytes([2; 16]),
            tracked_until: UNTIL,
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
        for (moved, parts) in [(-1, 1), (0, 1), (1, 1)] {
            let mut kept = Some(call(&log));
            Call::forget_late(&mut kept, Timestamp::from_micros(UNTIL.as_micros() + moved));
            assert_eq!(kept.is_some(), moved < 0, "{moved}");
            drop(kept);
            assert_eq!(waiting(), parts, "{moved}");
        }
    }
}
