//! `POST /v1/process`: takes an alert, stores it, tells what became of it.
//!
//! Must not know what is in a payload.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use domain::id::AlertId;
use http::{HeaderMap, HeaderValue, Response, header, request};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use runtime::ingest;
use runtime::nats::publish;
use runtime::places::counted;
use runtime::random::id_bytes;
use runtime::traces::{Kind, Span};
use tokio::time::{Instant, timeout_at};
use wire::partition::PartitionSet;
use wire::stored::alert::{Alert, Content, Record};
use wire::subject;

use super::call::Call;
use super::credential::{Query, credential, query};
use super::prefer::{Prefer, prefer};
use super::problem::Problem;
use super::{Handler, answer, body, content};
use crate::config::{ANSWER_DEADLINE, BODY_TIMEOUT};
use crate::memory::Share;
use crate::rate::{Rates, Wait};
use crate::tokens::Admitted;

/// Where it is, after the prefix.
pub const PATH: &str = "/v1/process";

/// For addresses that send more than they may.
pub const FROM_OFTEN: &str =
    "too many alerts from this address: send it again after the time in Retry-After";
/// For tokens that send more than they may.
pub const SENT_OFTEN: &str =
    "too many alerts by this token: send it again after the time in Retry-After";

/// Takes an alert. Who may not come in is refused before the body is read. What the API log keeps of
/// a call that came in is in `kept`.
pub async fn process(
    handler: &Handler,
    peer: IpAddr,
    head: &request::Parts,
    body: &mut Option<Incoming>,
    span: &mut Span,
    kept: &mut Option<Box<Call>>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let mut query = query(head.uri.query().unwrap_or_default());
    let admitted = admit(handler, &head.headers, &mut query);
    let admitted = admitted.map_err(|problem| handler.refuse(peer, &head.headers, problem))?;
    handler.last_use.note(admitted.token, admitted.at);
    let announced = body.as_ref().and_then(|body| body.size_hint().exact());
    let within = check_rate(handler, &admitted, handler.client(peer, &head.headers));
    let tracked = admitted.tracked_until.is_some();
    if tracked && (within.is_ok() || handler.rates.keeps_limited(&admitted.token)) {
        *kept = Call::begin(handler, &admitted, peer, head, announced).map(Box::new);
    }
    within?;
    check_expect(&head.headers)?;
    let encoding = body::encoding(&head.headers)?;
    if handler.draining.is_cancelled() {
        return Err(Problem::Draining);
    }
    let limit = handler.config.body_max_bytes;
    let plain = encoding == body::Encoding::Identity;
    let memory = handler.room_for(admitted.token, announced.filter(|_| plain))?;
    let body = body::read(body, limit, BODY_TIMEOUT).await?;
    let started = Instant::now();
    Call::forget_untracked(kept);
    if let Some(kept) = kept {
        kept.received(&body, plain);
    }
    let turn = handler.decoders.wait(Some(admitted.token));
    let decoded = body::decoded(body, encoding, limit, turn, memory);
    let decoded = timeout_at(started + ANSWER_DEADLINE, decoded).await;
    let (body, memory) = decoded.unwrap_or(Err(Problem::Overloaded))?;
    if let Some(kept) = kept {
        kept.decoded(&body);
    }
    let payload = content::payload(&head.headers, body).await;
    let alert = alert(handler, admitted, query.from, payload, kept.is_some());
    if alert.tracked_until.is_none()
        && let Some(call) = kept.take()
    {
        call.forget();
    }
    if let Some(kept) = kept {
        kept.alert = alert.id;
    }
    span.set("gander.alert.id", || alert.id.to_string());
    let prefer = prefer(&head.headers);
    let answer = store(handler, alert, memory, prefer, started, span, kept.as_deref_mut()).await;
    handler.counts.answer_seconds.record(started.elapsed().as_secs_f64());
    answer
}

/// Whether the request has a token that is let in.
pub fn is_admitted(handler: &Handler, head: &request::Parts) -> bool {
    let mut query = query(head.uri.query().unwrap_or_default());
    admit(handler, &head.headers, &mut query).is_ok()
}

/// The token that is let in.
fn admit(handler: &Handler, headers: &HeaderMap, query: &mut Query) -> Result<Admitted, Problem> {
    let sent = credential(headers, query)?;
    let admitted = handler.tokens.check(&sent.secret, sent.by_url);
    admitted.map_err(|_| Problem::TokensStale)?.ok_or(Problem::InvalidToken)
}

/// Whether the address, and then the token, is within its limit. What is answered beyond it is up to
/// the token: its sender is the same, whichever of them was reached.
fn check_rate(handler: &Handler, admitted: &Admitted, client: IpAddr) -> Result<(), Problem> {
    let unavailable = admitted.unavailable_over_limit;
    let refused =
        |detail| move |Wait(seconds)| Problem::RateLimited { seconds, detail, unavailable };
    let Rates { tokens, addresses, .. } = &*handler.rates;
    let address = addresses.as_ref().map_or(Ok(()), |rate| rate.take(&counted(client)));
    address.map_err(refused(FROM_OFTEN))?;
    let token = tokens.as_ref().map_or(Ok(()), |rate| rate.take(&admitted.token));
    token.map_err(refused(SENT_OFTEN))
}

fn check_expect(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Problem::ExpectationFailed)
        }
        Some(_) | None => Ok(()),
    }
}

/// The alert, as its whole is there. One whose call is not kept is not tracked, whatever was switched
/// on meanwhile: an entry has all its parts.
fn alert(
    handler: &Handler,
    admitted: Admitted,
    from: Option<String>,
    payload: Bytes,
    kept: bool,
) -> Alert {
    let received_at = handler.clock.now();
    let tracked_until = handler.tokens.tracked_until(admitted.token, received_at);
    Alert {
        id: AlertId::from_bytes(id_bytes(received_at, &*handler.random)),
        token: admitted.token,
        reach: admitted.reach,
        received_at,
        from,
        payload,
        tracked_until: tracked_until.filter(|_| kept),
    }
}

async fn store(
    handler: &Handler,
    alert: Alert,
    memory: Share,
    prefer: Prefer,
    started: Instant,
    span: &Span,
    mut kept: Option<&mut Call>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let id = alert.id;
    let partition = alert.reach.team().map(|team| handler.partitions.of(team));
    let content = Content::Alert(alert);
    let partitions = content.partitions(handler.partitions);
    if let Some(kept) = &mut kept {
        // Before it is stored: who goes away now, or is told too early that it is not, has an entry
        // that waits for reasons all the same.
        kept.partitions = partitions;
    }
    let wanted = !prefer.respond_async && prefer.wait != Some(Duration::ZERO);
    let mut awaited = wanted.then(|| handler.outcomes.expect(id, partitions));
    let mut sending = sending(handler, span);
    let record = Record { partition, outcome_wanted: wanted, content, trace: sending.context() };
    let stored = {
        let storing = pin!(handler.ingest.store(record, partitions, memory));
        timeout_at(started + ANSWER_DEADLINE, storing).await
    };
    let stored = stored.unwrap_or(Err(publish::Error::TimedOut.into()));
    handler.unstored.note(stored.as_ref().err());
    if let (Some(kept), Err(error)) = (kept, &stored)
        && is_certain(error)
    {
        kept.partitions = PartitionSet::default();
    }
    stored.map_err(problem).inspect_err(|problem| sending.fail(problem.code()))?;
    drop(sending);
    handler.counts.accepted.increment(1);
    tracing::debug!(alert.id = %id, "alert stored");
    let until = prefer.wait.map_or(ANSWER_DEADLINE, |wait| wait.min(ANSWER_DEADLINE));
    let outcome = match &mut awaited {
        Some(awaited) => timeout_at(started + until, awaited.outcome()).await.ok(),
        None => None,
    };
    let mut answer = match outcome {
        Some(flags) => answer::outcome(id, flags),
        None => answer::accepted(id),
    };
    if let Some(applied) = prefer.applied() {
        answer.headers_mut().insert("preference-applied", HeaderValue::from_static(applied));
    }
    Ok(answer)
}

/// The span from the queue to the acknowledgement; what the workers do hangs below it.
fn sending(handler: &Handler, span: &Span) -> Span {
    let mut sending = handler.tracer.start("send gander.alerts", Kind::Producer, span.context());
    sending.set("messaging.system", || "nats");
    sending.set("messaging.destination.name", || subject::ALERTS);
    sending.set("messaging.operation.name", || "send");
    sending.set("messaging.operation.type", || "send");
    sending
}

/// Whether nothing was stored and nothing will be.
const fn is_certain(error: &ingest::Error) -> bool {
    use publish::Error as Broker;
    match error {
        ingest::Error::Overloaded => true,
        // What is under way as the queue ends may be stored.
        ingest::Error::Stopping => false,
        ingest::Error::Broker(error) => {
            matches!(error, Broker::Conflict(_) | Broker::Full | Broker::Refused { .. })
        }
    }
}

fn problem(error: ingest::Error) -> Problem {
    match error {
        ingest::Error::Overloaded => Problem::Overloaded,
        ingest::Error::Stopping => Problem::Draining,
        ingest::Error::Broker(publish::Error::Full) => Problem::StreamFull,
        ingest::Error::Broker(
            publish::Error::Conflict(_)
            | publish::Error::TimedOut
            | publish::Error::Lost
            | publish::Error::Unreachable
            | publish::Error::Refused { .. },
        ) => Problem::BrokerUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_stored_all_the_same_is_not_taken_as_refused() {
        use publish::Error as Broker;
        for uncertain in [Broker::TimedOut, Broker::Lost, Broker::Unreachable] {
            assert!(!is_certain(&uncertain.into()));
        }
        assert!(!is_certain(&ingest::Error::Stopping));
        assert!(is_certain(&ingest::Error::Overloaded));
        assert!(is_certain(&Broker::Full.into()));
    }

    #[test]
    fn what_is_not_stored_because_the_process_stops_is_told_as_draining() {
        assert_eq!(problem(ingest::Error::Stopping), Problem::Draining);
    }
}
