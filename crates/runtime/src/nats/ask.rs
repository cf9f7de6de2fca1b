//! Questions to all: asked on a subject, answered by every process that listens there, kept nowhere.
//!
//! Must not know what is asked.

use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt;

use super::{Error, Nats, request};

/// Questions as they come.
#[derive(Debug)]
pub struct Questions {
    client: Client,
    asked: Subscriber,
}

/// A question.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub payload: Bytes,
    client: Client,
    reply: Subject,
}

impl Nats {
    /// The questions on this subject from here on.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn questions(&self, subject: &'static str) -> Result<Questions, Error> {
        let asked = self.client.subscribe(subject).await.map_err(request)?;
        self.client.flush().await.map_err(request)?;
        Ok(Questions { client: self.client.clone(), asked })
    }

    /// Asks everybody who listens on this subject, and hands over answers until `take` wants no more
    /// or the time is up.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn ask_all(
        &self,
        subject: &'static str,
        question: Bytes,
        patience: Duration,
        mut take: impl FnMut(Bytes) -> bool,
    ) -> Result<(), Error> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(request)?;
        let asked = self.client.publish_with_reply(subject, inbox, question);
        asked.await.map_err(request)?;
        let taking = async {
            while let Some(answer) = answers.next().await {
                if !take(answer.payload) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, taking).await;
        Ok(())
    }
}

impl Questions {
    /// The next question; none once the connection is closed.
    pub async fn next(&mut self) -> Option<Question> {
        loop {
            let asked = self.asked.next().await?;
            if let Some(reply) = asked.reply {
                return Some(Question {
                    payload: asked.payload,
                    client: self.client.clone(),
                    reply,
                });
            }
        }
    }
}

impl Question {
    /// Answers; there may be several answers to one question.
    pub async fn answer(&self, payload: Bytes) {
        let _ = self.client.publish(self.reply.clone(), payload).await;
    }
}
