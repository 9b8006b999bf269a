//! What a caller asks for when it creates a stream, and what it gets.

use std::{str::FromStr, time::Duration};

use serde::Deserialize;
use utoipa::ToSchema;

use super::page::StreamInfo;
use crate::stream::Promise;

/// How long a repeated request to create a stream gets the answer of the first.
pub const REQUEST_ID_TTL: Duration = Duration::from_secs(60);

/// How long a producer has to follow a stop, where the stream's creator says nothing else.
pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(10);

/// The longest id of a request, in characters.
const MAX_REQUEST_ID: usize = 64;

/// The options of a new stream, and what to do where its key has one already.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// How long it lives after its last write.
    pub ttl: Duration,
    /// How many of its newest events it keeps, at least.
    pub max_events: u64,
    /// What to do where an active stream has the key.
    pub if_exists: IfTaken,
    /// What to do where a finished stream has the key.
    pub if_finished: IfTaken,
    /// How long its producer has to follow a stop. Zero: for ever.
    pub stop_grace: Duration,
    /// How long its producer may do nothing.
    pub promise: Promise,
    /// The id of the request. For [`REQUEST_ID_TTL`], a repeated request with this id gets the
    /// stream that the first one created.
    pub request_id: Option<RequestId>,
}

impl NewStream {
    /// A stream that replaces a finished one, and no active one.
    #[must_use]
    pub fn new(ttl: Duration, max_events: u64) -> Self {
        Self {
            ttl,
            max_events,
            if_exists: IfTaken::Error,
            if_finished: IfTaken::Replace,
            stop_grace: DEFAULT_STOP_GRACE,
            promise: Promise::default(),
            request_id: None,
        }
    }
}

/// What to do where a stream has the key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfTaken {
    /// Create nothing, and report an error.
    Error,
    /// Create nothing, and take the stream that exists.
    Attach,
    /// Delete the stream that exists, and create a new one.
    Replace,
}

impl IfTaken {
    /// The choice as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Attach => "attach",
            Self::Replace => "replace",
        }
    }
}

/// The id that a caller gives a request, to repeat it without doing it twice: 1 to 64 characters,
/// none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

/// The text is not an id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request_id is 1 to {MAX_REQUEST_ID} characters without control characters")]
pub struct InvalidRequestId;

impl RequestId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let is_valid = (1..=MAX_REQUEST_ID).contains(&text.chars().count())
            && !text.chars().any(char::is_control);
        is_valid.then(|| Self(text.into())).ok_or(InvalidRequestId)
    }
}

/// The stream at the key after a create.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its state.
    pub info: StreamInfo,
    /// What the request had to do with it.
    pub outcome: CreateOutcome,
}

/// What a request to create a stream did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It created the stream.
    New,
    /// An earlier request with its id created the stream.
    Repeated,
    /// It found the stream.
    Attached,
}
