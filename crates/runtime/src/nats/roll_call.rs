//! Roll call: all processes are asked what they are, and answer.
//!
//! Beside the heartbeats, which stay as they are: a process of an older version that cannot read one
//! would count as dead, and a change would be told to be in force too early. Nothing rests on a roll
//! call but what people are shown.

use std::time::Duration;

use bytes::Bytes;
use wire::stored::member::Member;
use wire::subject;

use super::{Error, Nats};

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
        let mut questions = self.questions(subject::ROLL_CALL).await?;
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                question.answer(member().encode()).await;
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
        let mut found = Vec::new();
        if enough(&found) {
            return Ok(found);
        }
        let take = |answer: Bytes| {
            match Member::decode(&answer) {
                Ok(member) => found.push(member),
                Err(error) => tracing::debug!(%error, "an answer to a roll call is not read"),
            }
            found.len() < MAX_ANSWERS && !enough(&found)
        };
        self.ask_all(subject::ROLL_CALL, Bytes::new(), patience, take).await?;
        Ok(found)
    }
}
