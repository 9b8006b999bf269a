//! Commands of a WebSocket subscriber: follow one more stream, or one less.

use std::{collections::VecDeque, fmt::Write as _};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{
    request::{self, SubscribeRequest},
    resolve::{Resolution, ResolvedStream, Resolver},
};
use crate::{
    codec::json,
    http::{
        error::{ApiError, ErrorCode},
        query::stream_key,
    },
    session::Session,
    stream::{EventId, StartPosition, StreamKey},
};

/// Commands of a subscriber that may wait.
const MAX_COMMANDS: usize = 64;

/// Bytes of waiting commands after which the broker reads no further. One message more may come.
const MAX_COMMAND_BYTES: usize = 64 << 10;

/// The longest problem of a command that is reported: it may quote what the command holds.
const MAX_PROBLEM: usize = 256;

/// The longest key that an error repeats; a valid one has up to 256 bytes.
const MAX_ECHO: usize = 1024;

/// A command, without any member that the broker does not know.
#[derive(Debug)]
pub(super) struct Command {
    is_subscribe: bool,
    arguments: Result<Arguments, Invalid>,
}

/// What is wrong with a command, and the key that it names.
#[derive(Debug)]
struct Invalid {
    key: Option<String>,
    error: ApiError,
}

/// Which command a message is.
#[derive(Deserialize)]
struct Name {
    op: Operation,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operation {
    Subscribe,
    Unsubscribe,
}

/// What an answer to a bad command names.
#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct Members {
    key: String,
    after: Option<String>,
    from: Option<String>,
    #[serde(default)]
    wait: bool,
}

#[derive(Debug)]
struct Arguments {
    key: StreamKey,
    after: Option<String>,
    from: Option<String>,
    wait: bool,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Answer<'a> {
    Subscribed {
        key: &'a str,
        after: Option<EventId>,
    },
    Unsubscribed {
        key: &'a str,
        after: Option<EventId>,
    },
    Error {
        key: Option<&'a str>,
        code: &'static str,
        message: &'a str,
    },
}

/// What a command comes to.
pub(super) enum Begun {
    /// Its answer.
    Done(String),
    /// The broker first looks for the stream; [`Looked::finish`] has the answer. Dropped, nothing
    /// was done.
    Looking(BoxFuture<'static, Looked>),
}

/// A `subscribe` command whose stream was looked for.
pub(super) struct Looked {
    key: StreamKey,
    found: Result<ResolvedStream, ApiError>,
}

impl Command {
    /// Reads a message. One that is no command is ignored.
    pub(super) fn read(message: &str) -> Option<Self> {
        let Name { op } = serde_json::from_str(message).ok()?;
        let arguments = arguments(message).map_err(|error| {
            let key = serde_json::from_str::<Key>(message)
                .ok()
                .map(|Key { key }| key);
            Invalid {
                key: key.filter(|key| key.len() <= MAX_ECHO),
                error,
            }
        });
        Some(Self {
            is_subscribe: matches!(op, Operation::Subscribe),
            arguments,
        })
    }

    /// Bytes that it holds.
    fn weight(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
        size_of::<Self>()
            + match &self.arguments {
                Ok(Arguments {
                    key, after, from, ..
                }) => key.as_str().len() + length(after) + length(from),
                Err(Invalid { key, error }) => length(key) + error.message.len(),
            }
    }

    /// Does it as far as that needs no wait.
    pub(super) fn begin(self, session: &mut Session, resolver: &Resolver) -> Begun {
        let arguments = match self.arguments {
            Ok(arguments) => arguments,
            Err(Invalid { key, error }) => {
                return Begun::Done(refusal(session, key.as_deref(), &error));
            }
        };
        let key = arguments.key.clone();
        let done = if self.is_subscribe {
            match subscribe(arguments, session, resolver) {
                Ok(looking) => return Begun::Looking(looking),
                Err(error) => Err(error),
            }
        } else {
            unsubscribe(&key, session)
        };
        Begun::Done(match done {
            Ok(after) => answer(
                session,
                &Answer::Unsubscribed {
                    key: key.as_str(),
                    after,
                },
            ),
            Err(error) => refusal(session, Some(key.as_str()), &error),
        })
    }
}

fn arguments(message: &str) -> Result<Arguments, ApiError> {
    let members: Members = serde_json::from_str(message).map_err(|error| {
        ApiError::new(
            ErrorCode::InvalidRequest,
            format!("Not a request for a stream: {}", bounded(&error)),
        )
    })?;
    let Members {
        key,
        after,
        from,
        wait,
    } = members;
    Ok(Arguments {
        key: stream_key(&key)?,
        after,
        from,
        wait,
    })
}

impl Looked {
    /// Does what the command asked for, and answers.
    pub(super) fn finish(self, session: &mut Session, resolver: &Resolver) -> String {
        let Self { key, found } = self;
        match found.and_then(|found| add(&key, found, session, resolver)) {
            Ok(after) => answer(
                session,
                &Answer::Subscribed {
                    key: key.as_str(),
                    after,
                },
            ),
            Err(error) => refusal(session, Some(key.as_str()), &error),
        }
    }
}

fn refusal(session: &mut Session, key: Option<&str>, error: &ApiError) -> String {
    answer(
        session,
        &Answer::Error {
            key,
            code: error.code.as_str(),
            message: &error.message,
        },
    )
}

fn answer(session: &mut Session, answer: &Answer<'_>) -> String {
    // From the first answer on each frame says which stream it is from.
    session.reading_mut().set_keyed();
    json::text(answer)
}

/// The error's text, without what it quotes beyond the limit.
fn bounded(error: &serde_json::Error) -> String {
    let mut text = String::new();
    // A string takes whatever is written to it.
    let _ = write!(text, "{error}");
    if text.len() > MAX_PROBLEM {
        let end = (0..=MAX_PROBLEM)
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or_default();
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Looks for a stream that may be followed.
fn subscribe(
    arguments: Arguments,
    session: &Session,
    resolver: &Resolver,
) -> Result<BoxFuture<'static, Looked>, ApiError> {
    let key = arguments.key;
    let cursor = arguments
        .after
        .filter(|after| !after.is_empty())
        .map(|after| request::cursor(&after))
        .transpose()?;
    let start_position = arguments
        .from
        .filter(|from| !from.is_empty())
        .map_or(Ok(StartPosition::Start), |from| {
            request::start_position(&from)
        })?;
    let followed: Vec<StreamKey> = {
        let streams = session.subscription().streams();
        if streams
            .iter()
            .any(|stream| stream.key == key && !stream.is_over())
        {
            return Err(ApiError::new(
                ErrorCode::AlreadySubscribed,
                "The connection follows this stream already",
            ));
        }
        streams
            .iter()
            .filter(|stream| !stream.is_over())
            .map(|stream| stream.key.clone())
            .collect()
    };
    if followed.len() >= resolver.max_keys {
        let message = format!("A connection follows at most {} streams", resolver.max_keys);
        return Err(ApiError::new(ErrorCode::TooManyKeys, message));
    }
    resolver.may_share(&[followed, vec![key.clone()]].concat())?;
    let (resolver, request) = (
        resolver.clone(),
        SubscribeRequest::of_one(key.clone(), cursor, start_position, arguments.wait),
    );
    Ok(Box::pin(async move {
        let found = resolver
            .resolve(&request)
            .await
            .and_then(|mut found| found.pop().ok_or_else(ApiError::internal));
        Looked { key, found }
    }))
}

/// Adds the stream that was found to those of the subscriber.
fn add(
    key: &StreamKey,
    found: ResolvedStream,
    session: &mut Session,
    resolver: &Resolver,
) -> Result<Option<EventId>, ApiError> {
    let position = found.position.id();
    session.unfollow(key);
    if matches!(
        found.state,
        Resolution::Open { .. } | Resolution::Awaited { .. }
    ) {
        session
            .follow(key, found.position)
            .map_err(|full| ApiError::new(ErrorCode::TooManyClients, full.to_string()))?;
    }
    resolver.add(session.reading_mut(), told(found));
    Ok(position)
}

/// The answer tells the client where it is.
fn told(found: ResolvedStream) -> ResolvedStream {
    match found.state {
        Resolution::Open { page, .. } => ResolvedStream {
            state: Resolution::Open { page, tell: false },
            ..found
        },
        state => ResolvedStream { state, ..found },
    }
}

fn unsubscribe(key: &StreamKey, session: &mut Session) -> Result<Option<EventId>, ApiError> {
    match session.unfollow(key) {
        Some(position) => Ok(position.id()),
        None => Err(ApiError::new(
            ErrorCode::NotSubscribed,
            "The connection does not follow this stream",
        )),
    }
}

/// Commands that wait, in order: while the first array is sent, and while another command runs.
#[derive(Debug, Default)]
pub(super) struct Commands {
    waiting: VecDeque<Command>,
    bytes: usize,
}

impl Commands {
    /// Whether the broker should read no further.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_COMMANDS || self.bytes >= MAX_COMMAND_BYTES
    }

    pub(super) fn push(&mut self, command: Command) {
        self.bytes += command.weight();
        self.waiting.push_back(command);
    }

    pub(super) fn pop(&mut self) -> Option<Command> {
        let command = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(command.weight());
        Some(command)
    }
}
