//! Commands of a WebSocket subscriber: `subscribe` and `unsubscribe`.

use std::{collections::VecDeque, fmt::Write as _};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{
    request::{self, SubscribeRequest},
    resolve::{ResolvedStream, Resolver, StreamState},
};
use crate::{
    codec::json,
    hooks::SharedSubscriber,
    http::{
        error::{ApiError, ErrorCode},
        query::stream_key,
    },
    session::Session,
    stream::{EventId, SharedPosition, StartPosition, StreamKey},
};

/// The most commands of a subscriber that may wait.
const MAX_COMMANDS: usize = 64;

/// Bytes of waiting commands after which the broker reads no further. One message more may come.
const MAX_COMMAND_BYTES: usize = 64 << 10;

/// The longest problem of a command that is reported: it may quote what the command holds.
const MAX_PROBLEM: usize = 256;

/// The longest key that an error repeats; a valid one has up to 256 bytes.
const MAX_ECHO: usize = 1024;

/// A command, without members that the broker does not know.
#[derive(Debug)]
pub(super) struct Command {
    is_subscribe: bool,
    arguments: Result<Arguments, Invalid>,
}

/// A bad command: the error, and the key that it names.
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

/// A command that has started.
pub(super) enum Started {
    /// It is done; this is its answer.
    Done(String),
    /// The broker looks up its stream, and [`Lookup::finish`] answers. If the future is dropped,
    /// the command has done nothing.
    Lookup(BoxFuture<'static, Lookup>),
}

/// A `subscribe` command whose stream was looked up.
pub(super) struct Lookup {
    key: StreamKey,
    found: Result<(ResolvedStream, Option<SharedSubscriber>), ApiError>,
}

impl Command {
    /// Reads a message. A message that is not a command is ignored.
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

    /// Starts the command. It ends here, unless its stream has to be looked up.
    pub(super) fn start(self, session: &mut Session, resolver: &Resolver) -> Started {
        let arguments = match self.arguments {
            Ok(arguments) => arguments,
            Err(Invalid { key, error }) => {
                return Started::Done(refusal(session, key.as_deref(), &error));
            }
        };
        let key = arguments.key.clone();
        let done = if self.is_subscribe {
            match subscribe(arguments, session, resolver) {
                Ok(lookup) => return Started::Lookup(lookup),
                Err(error) => Err(error),
            }
        } else {
            unsubscribe(&key, session)
        };
        Started::Done(match done {
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
            format!("The command is not valid: {}", bounded(&error)),
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

impl Lookup {
    /// Adds the stream that was found, and answers.
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
    // From the first answer on, each frame names its stream.
    session.subscription_mut().set_keyed();
    json::text(answer)
}

/// The error's text, cut at the limit: it may quote what the command holds.
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

/// Looks up the stream of a `subscribe` command.
fn subscribe(
    arguments: Arguments,
    session: &Session,
    resolver: &Resolver,
) -> Result<BoxFuture<'static, Lookup>, ApiError> {
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
                "The connection already follows this stream",
            ));
        }
        streams
            .iter()
            .filter(|stream| !stream.is_over())
            .map(|stream| stream.key.clone())
            .collect()
    };
    if followed.len() >= resolver.max_keys {
        let message = format!(
            "A connection can follow at most {} streams",
            resolver.max_keys
        );
        return Err(ApiError::new(ErrorCode::TooManyKeys, message));
    }
    resolver.may_share(&[followed, vec![key.clone()]].concat())?;
    let (resolver, request) = (
        resolver.clone(),
        SubscribeRequest::of_one(key.clone(), cursor, start_position, arguments.wait),
    );
    Ok(Box::pin(async move {
        let look_up = async {
            let stream = resolver.resolve(&request).await?.pop();
            let stream = stream.ok_or_else(ApiError::internal)?;
            Ok((stream, resolver.ask_script(&request).await?))
        };
        Lookup {
            key,
            found: look_up.await,
        }
    }))
}

/// Adds a stream to the session, and returns the position in it.
fn add(
    key: &StreamKey,
    (mut found, subscriber): (ResolvedStream, Option<SharedSubscriber>),
    session: &mut Session,
    resolver: &Resolver,
) -> Result<Option<EventId>, ApiError> {
    let position = SharedPosition::clone(&found.position);
    session.remove_stream(key);
    if let StreamState::Open { .. } | StreamState::Awaited { .. } = found.state {
        let admitted = session.admit_stream(key, &position);
        admitted
            .map_err(|reached| ApiError::new(ErrorCode::TooManyClients, reached.to_string()))?;
    }
    // The answer says where the subscriber starts, so that the session need not report it.
    if let StreamState::Open { report, .. } = &mut found.state {
        *report = false;
    }
    let id = position.id();
    resolver.add(session.subscription_mut(), found);
    if let Some(subscriber) = subscriber {
        session
            .subscription_mut()
            .add_scripted(key.clone(), subscriber);
    }
    Ok(id)
}

fn unsubscribe(key: &StreamKey, session: &mut Session) -> Result<Option<EventId>, ApiError> {
    match session.remove_stream(key) {
        Some(position) => Ok(position.id()),
        None => Err(ApiError::new(
            ErrorCode::NotSubscribed,
            "The connection does not follow this stream",
        )),
    }
}

/// Commands that wait, in order: while the first message is sent, and while another command runs.
#[derive(Debug, Default)]
pub(super) struct Commands {
    waiting: VecDeque<Command>,
    bytes: usize,
}

impl Commands {
    /// Whether the broker should read no more commands.
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
