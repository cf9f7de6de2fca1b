//! Roll call: all processes are asked what they are, and answer.
//!
//! Beside the heartbeats, which stay as they are: a process of an older version that cannot read one
//! would count as dead, and a change would be told to be in force too early. Nothing rests on a roll
//! call but what people are shown.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use wire::stored::member::Member;
use wire::subject;

use super::{Error, Nats, request};

/// The most answers that are taken in.
const MAX_ANSWERS: usize = 1_000;

impl Nats {
    /// Answers roll calls until the connection is closed.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn answer_roll_calls(
        &self,
        member: impl Fn() -> Member + Send + 'static,
    ) -> Result<(), Error> {
        let mut asked = self.client.subscribe(subject::ROLL_CALL).await.map_err(request)?;
        self.client.flush().await.map_err(request)?;
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Some(ask) = asked.next().await {
                if let Some(reply) = ask.reply {
                    let _ = client.publish(reply, member().encode()).await;
                }
            }
        });
        Ok(())
    }

    /// Asks all processes, and takes in answers until `enough` holds or the time is up. An answer
    /// that cannot be read is left out.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn roll_call(
        &self,
        patience: Duration,
        enough: impl Fn(&[Member]) -> bool,
    ) -> Result<Vec<Member>, Error> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(request)?;
        let asked = self.client.publish_with_reply(subject::ROLL_CALL, inbox, Bytes::new());
        asked.await.map_err(request)?;
        let mut found = Vec::new();
        let taking = async {
            while found.len() < MAX_ANSWERS && !enough(&found) {
                let Some(answer) = answers.next().await else { return };
                match Member::decode(&answer.payload) {
                    Ok(member) => found.push(member),
                    Err(error) => tracing::debug!(%error, "an answer to a roll call is not read"),
                }
            }
        };
        let _ = tokio::time::timeout(patience, taking).await;
        Ok(found)
    }
}
