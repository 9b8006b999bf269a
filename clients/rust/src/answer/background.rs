//! A stream with a producer that outlives the request.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tracing::warn;

use super::writer::AnswerWriter;
use crate::{
    Client, Error, Writer,
    error::BoxError,
    log::Cause,
    types::{Access, CreateStream, IssueToken, Permission},
};

/// The seconds after which the broker abandons an answer whose producer is silent.
const LEASE: u64 = 30;

/// What a page needs to follow an answer, and to stop it. It is meant to be sent to the page as
/// JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// The key of the stream.
    pub key: String,
    /// Where the page follows the stream, by server-sent events.
    pub sse_url: String,
    /// Opens the stream, and permits signals.
    pub token: String,
}

impl Answer {
    fn new(key: String, access: Access) -> Self {
        Self {
            key,
            sse_url: access.sse_url,
            token: access.token,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Creates a stream, and runs its producer as a Tokio task, which outlives the caller. Returns
    /// what a page needs to follow the stream.
    ///
    /// A key is enough for the stream. The token permits `read` and `signal`, and the lease is 30
    /// seconds, unless the [`CreateStream`] says otherwise. The stream is settled as
    /// [`Publish::run`](crate::Publish::run) does it: it ends when the producer returns, fails when
    /// the producer fails, and is cancelled after a stop. The error of a producer is logged.
    ///
    /// When the request finds a stream and attaches to it, the producer does not run.
    ///
    /// ```no_run
    /// # use tinistreamer_client::{Client, Error};
    /// # async fn example(client: Client) -> Result<(), Error> {
    /// let answer = client
    ///     .answer("chat-1", async |mut writer| {
    ///         let words = futures::stream::iter(["Hello", " world"]);
    ///         Ok(writer.pipe_from(words, "token").await?)
    ///     })
    ///     .await?;
    /// println!("{}", serde_json::json!(answer)); // {"key", "sse_url", "token"}
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`create_stream`](Self::create_stream). [`Error::Setup`] outside of a Tokio
    /// runtime, or when the lease is not one.
    pub async fn answer<F, Fut>(
        &self,
        stream: impl Into<CreateStream>,
        produce: F,
    ) -> Result<Answer, Error>
    where
        F: FnOnce(AnswerWriter) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let mut stream = stream.into();
        stream.permissions.get_or_insert_with(permissions);
        // From its creation on, so that a stream whose producer never begins is abandoned.
        let lease = Duration::from_secs(*stream.lease.get_or_insert(LEASE));
        let key = stream.key.clone();
        let mut publish = self.publish(&key).lease(lease);
        let access = self.create_stream(stream).await?;
        if access.created != Some(false) {
            if let Some(generation) = &access.generation {
                publish = publish.generation(generation);
            }
            spawn(publish.start()?, produce);
        }
        Ok(Answer::new(key, access))
    }

    /// Issues another token for an [answer](Self::answer), for a page that was reloaded, or whose
    /// token has expired.
    ///
    /// Check before that the caller may read and stop this stream.
    ///
    /// # Errors
    ///
    /// Those of [`issue_token`](Self::issue_token), such as `no-active-stream`.
    pub async fn answer_access(&self, key: impl Into<String>) -> Result<Answer, Error> {
        let key = key.into();
        let token = IssueToken {
            permissions: Some(permissions()),
            ..IssueToken::from(key.as_str())
        };
        let access = self.issue_token(token).await?;
        Ok(Answer::new(key, access))
    }
}

/// What the page of an answer may do.
fn permissions() -> Vec<Permission> {
    vec![Permission::Read, Permission::Signal]
}

/// Runs a producer, and settles its stream.
fn spawn<F, Fut>(writer: Writer, produce: F)
where
    F: FnOnce(AnswerWriter) -> Fut,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let writer = Arc::new(Mutex::new(writer));
    // Nobody else has it yet.
    let Ok(lent) = Arc::clone(&writer).try_lock_owned() else {
        return;
    };
    let producing = produce(AnswerWriter(lent));
    tokio::spawn(async move {
        let outcome = producing.await;
        // A task of the producer may still have it.
        drop(writer.lock().await);
        let Some(writer) = Arc::into_inner(writer) else {
            return;
        };
        if let Err(error) = writer.into_inner().settle_as(outcome).await {
            log(&error);
        }
    });
}

/// Logs the error of a producer, because nobody else gets it.
fn log(error: &BoxError) {
    if let Some(error) = error.downcast_ref::<Error>() {
        warn!(target: "tinistreamer", "an answer failed: {}", Cause(error));
    } else {
        warn!(target: "tinistreamer", "an answer failed: {error}");
    }
}
