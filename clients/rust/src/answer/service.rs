//! The routes of answers, for any server that takes services of `tower`.

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::Semaphore;
use tracing::warn;

use super::{
    background::Answer,
    key::{is_random_key, random_key},
    writer::AnswerWriter,
};
use crate::{Client, Error, error::BoxError, log::Cause, types::CreateStream};

/// How many producers may run at once.
const MAX_RUNNING: usize = 500;

/// The most bytes of a question.
const MAX_QUESTION: usize = 1024 * 1024;

type Reply = Response<Full<Bytes>>;

/// The routes of a backend whose pages ask questions, made by [`Client::answers`]. It is a service
/// of `tower`, for axum and every other server that takes one.
pub struct Answers<Q, F> {
    client: Client,
    stream: Arc<CreateStream>,
    produce: Arc<F>,
    running: Arc<Semaphore>,
    question: PhantomData<fn(Q)>,
}

impl Client {
    /// The routes of a backend whose pages ask questions:
    ///
    /// | | |
    /// |---|---|
    /// | `POST /` with a question as JSON | creates a stream, and starts the producer |
    /// | `GET /{key}` | issues another token, for a page that was reloaded |
    ///
    /// Both respond with an [`Answer`] as JSON. Nobody can guess its key. The question is at most
    /// 1 MiB of JSON, which serde reads as a `Q`. The paths are those that remain when the server
    /// has taken a prefix off, as `nest_service` of axum does. [`Client::answer`] says what becomes
    /// of the stream.
    ///
    /// **They let everybody in.** Put a middleware before them that knows who may ask, and who may
    /// read which key.
    ///
    /// ```no_run
    /// # use tinistreamer_client::Client;
    /// # fn example(client: Client) -> axum::Router {
    /// use axum::{BoxError, Router};
    /// use tinistreamer_client::AnswerWriter;
    ///
    /// async fn answer(question: String, mut writer: AnswerWriter) -> Result<(), BoxError> {
    ///     Ok(writer.write("token", format!("{question}?")).await?)
    /// }
    ///
    /// Router::new().nest_service("/answers", client.answers(answer))
    /// # }
    /// ```
    pub fn answers<Q, F, Fut>(&self, produce: F) -> Answers<Q, F>
    where
        Q: DeserializeOwned,
        F: Fn(Q, AnswerWriter) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Answers {
            client: self.clone(),
            stream: Arc::new(CreateStream::from("answer-")),
            produce: Arc::new(produce),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
            question: PhantomData,
        }
    }
}

impl<Q, F> Answers<Q, F> {
    /// How the streams are created. The key is the prefix of their keys, `answer-` by default.
    /// `GET` responds only to keys with this prefix.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<CreateStream>) -> Self {
        self.stream = Arc::new(stream.into());
        self
    }

    /// How many producers may run at once, 500 by default. A question beyond them gets 503.
    #[must_use]
    pub fn max_running(mut self, producers: usize) -> Self {
        self.running = Arc::new(Semaphore::new(producers.min(Semaphore::MAX_PERMITS)));
        self
    }
}

impl<Q, F, Fut> Answers<Q, F>
where
    Q: DeserializeOwned,
    F: Fn(Q, AnswerWriter) -> Fut,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    async fn respond<B>(self, request: Request<B>) -> Result<Reply, Refusal>
    where
        B: Body<Error: Into<BoxError>>,
    {
        let (
            Parts {
                method,
                uri,
                headers,
                ..
            },
            body,
        ) = request.into_parts();
        let key = percent_decode_str(uri.path().trim_start_matches('/')).decode_utf8_lossy();
        let answer = match (&*key, method) {
            ("", Method::POST) => {
                check_content_type(&headers)?;
                self.ask(read(body).await?).await?
            }
            ("", _) => return Err(Refusal::method()),
            (key, Method::GET) if is_random_key(key, &self.stream.key) => {
                self.client.answer_access(key).await?
            }
            (key, _) if is_random_key(key, &self.stream.key) => return Err(Refusal::method()),
            _ => return Err(Refusal::not_found()),
        };
        Ok(reply(StatusCode::OK, &answer))
    }

    async fn ask(&self, question: Bytes) -> Result<Answer, Refusal> {
        let question = serde_json::from_slice(&question).map_err(Refusal::invalid)?;
        let running = Arc::clone(&self.running).try_acquire_owned();
        let permit = running.map_err(|_| Refusal::busy())?;
        let stream = CreateStream {
            key: random_key(&self.stream.key)?,
            ..(*self.stream).clone()
        };
        let answer = self.client.answer(stream, |writer| {
            let producing = (self.produce)(question, writer);
            async move {
                let outcome = producing.await;
                drop(permit);
                outcome
            }
        });
        Ok(answer.await?)
    }
}

impl<Q, F, Fut, B> tower_service::Service<Request<B>> for Answers<Q, F>
where
    Q: DeserializeOwned + Send + 'static,
    F: Fn(Q, AnswerWriter) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let responding = self.clone().respond(request);
        let replying = responding.map(|replied| Ok(replied.unwrap_or_else(Refusal::into_reply)));
        replying.boxed()
    }
}

impl<Q, F> Clone for Answers<Q, F> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            stream: Arc::clone(&self.stream),
            produce: Arc::clone(&self.produce),
            running: Arc::clone(&self.running),
            question: PhantomData,
        }
    }
}

impl<Q, F> fmt::Debug for Answers<Q, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("client", &self.client)
            .field("prefix", &self.stream.key)
            .finish_non_exhaustive()
    }
}

/// A response that is an error, with the members of the broker's errors.
struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl fmt::Display) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_string(),
        }
    }

    fn method() -> Self {
        let message = "This path does not take this method";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            message,
        )
    }

    fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is no such answer",
        )
    }

    fn busy() -> Self {
        let message = "Too many answers are being written";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-answers", message)
    }

    fn invalid(problem: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", problem)
    }

    fn into_reply(self) -> Reply {
        let Self { code, message, .. } = &self;
        reply(self.status, &json!({"code": code, "message": message}))
    }
}

impl From<Error> for Refusal {
    /// The text of an error of the broker is not for strangers.
    fn from(error: Error) -> Self {
        match error {
            Error::Api {
                status: Some(404), ..
            } => Self::not_found(),
            error => {
                warn!(target: "tinistreamer", "no answer: {}", Cause(&error));
                let message = "The broker does not take the request";
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "broker-unavailable",
                    message,
                )
            }
        }
    }
}

/// A page of another origin can send text without asking first. It can't send JSON.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    if media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Refusal::new(
        status,
        "unsupported-media-type",
        "A question is application/json",
    ))
}

async fn read<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body<Error: Into<BoxError>>,
{
    match Limited::new(body, MAX_QUESTION).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("A question has at most {MAX_QUESTION} bytes");
            Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                message,
            ))
        }
        Err(_) => Err(Refusal::invalid("The question broke off")),
    }
}

/// A response with JSON. It may have a token, so nobody stores it.
fn reply(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    reply
}
