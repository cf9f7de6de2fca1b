//! What the worker needs of the broker where partitions are taken and commits are stored.
//!
//! A seam for tests only: a model with faults stands in, and the code around it runs unchanged.
//! Must not know partitions or incidents.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use runtime::nats::batch::Message;
use runtime::nats::publish::{self, Expect};
use runtime::nats::{self, Headers, Nats, Start};

/// The calls of [`Nats`] that taking, committing and purging make; they mean the same here.
pub trait Broker {
    /// Stores the messages in their order, all or none; gives the sequence of the first.
    fn publish_batch(
        &self,
        id: &str,
        messages: &[Message],
        deadline: Duration,
    ) -> impl Future<Output = Result<u64, publish::Error>> + Send;

    /// Publishes a message; gives its sequence once it is stored.
    fn publish(
        &self,
        subject: String,
        headers: Headers<'_>,
        payload: Bytes,
        expect: Option<Expect>,
        deadline: Duration,
    ) -> impl Future<Output = Result<u64, publish::Error>> + Send;

    /// The last message of a subject, from the leader of the stream.
    fn last_of(
        &self,
        stream: &str,
        subject: &str,
    ) -> impl Future<Output = Result<Option<nats::Message>, nats::Error>> + Send;

    /// The messages that are in the stream, as a reader from this start would meet them; in a
    /// cluster on a server that may be behind.
    fn read_all(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
    ) -> impl Future<Output = Result<Vec<nats::Message>, nats::Error>> + Send;

    /// The last sequence of a stream as its leader has it, and how many messages it has of each of
    /// these subjects.
    fn count(
        &self,
        stream: &str,
        filter: &str,
    ) -> impl Future<Output = Result<(u64, BTreeMap<String, u64>), nats::Error>> + Send;

    /// The sequences of the first and the last message of a stream, as its leader has them.
    fn bounds(&self, stream: &str) -> impl Future<Output = Result<(u64, u64), nats::Error>> + Send;

    /// Removes the messages of a stream that are older than this sequence.
    fn purge_before(
        &self,
        stream: &str,
        sequence: u64,
    ) -> impl Future<Output = Result<(), nats::Error>> + Send;

    /// Sends a message that nobody need receive.
    fn send(&self, subject: String, payload: Bytes) -> impl Future<Output = ()> + Send;
}

impl Broker for Nats {
    async fn publish_batch(
        &self,
        id: &str,
        messages: &[Message],
        deadline: Duration,
    ) -> Result<u64, publish::Error> {
        Self::publish_batch(self, id, messages, deadline).await
    }

    async fn publish(
        &self,
        subject: String,
        headers: Headers<'_>,
        payload: Bytes,
        expect: Option<Expect>,
        deadline: Duration,
    ) -> Result<u64, publish::Error> {
        Self::publish(self, subject, headers, payload, expect, deadline).await
    }

    async fn last_of(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<nats::Message>, nats::Error> {
        Self::last_of(self, stream, subject).await
    }

    async fn read_all(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
    ) -> Result<Vec<nats::Message>, nats::Error> {
        Self::read_all(self, stream, filter, start).await
    }

    async fn count(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<(u64, BTreeMap<String, u64>), nats::Error> {
        let (usage, count) = self.counted(stream, filter).await?;
        Ok((usage.last, count))
    }

    async fn bounds(&self, stream: &str) -> Result<(u64, u64), nats::Error> {
        Self::bounds(self, stream).await
    }

    async fn purge_before(&self, stream: &str, sequence: u64) -> Result<(), nats::Error> {
        Self::purge_before(self, stream, sequence).await
    }

    async fn send(&self, subject: String, payload: Bytes) {
        Self::send(self, subject, payload).await;
    }
}
