//! What a subscriber asks for, parsed from the query and the headers before a handler runs.
//! `docs/reference/http.md` describes it.

use std::collections::HashSet;

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};

use super::metadata::NameAndTags;
use crate::{
    codec::cursor::Cursor,
    config::Settings,
    http::{
        error::{ApiError, ErrorCode},
        query::{Query, stream_key},
    },
    session::Rollup,
    stream::{EventFilter, Position, StartPosition, StreamKey},
};

/// A parsed request to subscribe to streams.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// The streams: each once, at least one.
    pub keys: Vec<StreamKey>,
    cursor: Option<Cursor>,
    /// Where to start in streams that the cursor does not name.
    pub start: StartPosition,
    /// The events that the subscriber wants; none means all.
    pub filter: Option<EventFilter>,
    /// The events that come to the subscriber as one.
    pub rollup: Option<Rollup>,
    /// The subscriber waits for streams that do not exist yet.
    pub wait: bool,
    /// How many seconds a poll waits for an update.
    pub wait_seconds: Option<u64>,
    /// The name and tags that the subscriber gives itself.
    pub name_and_tags: NameAndTags,
}

/// The longest time that a poll may wait, in seconds.
const MAX_WAIT_SECONDS: u64 = 60;

impl SubscribeRequest {
    /// A request for one stream.
    #[must_use]
    pub fn of_one(
        key: StreamKey,
        cursor: Option<Cursor>,
        start: StartPosition,
        wait: bool,
    ) -> Self {
        Self {
            keys: vec![key],
            cursor,
            start,
            filter: None,
            rollup: None,
            wait,
            wait_seconds: None,
            name_and_tags: NameAndTags::default(),
        }
    }

    /// Whether it names several streams, so that each frame has to name its stream.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.keys.len() > 1
    }

    /// Whether it has a cursor.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.cursor.is_some()
    }

    /// The position in a stream, if the cursor has one.
    #[must_use]
    pub fn position(&self, key: &StreamKey) -> Option<Position> {
        let cursor = self.cursor.as_ref()?;
        cursor
            .bare()
            .map(Position::At)
            .or_else(|| cursor.position(key))
    }

    /// Refuses a number of seconds: only a poll takes one.
    pub fn streaming(self) -> Result<Self, ApiError> {
        match self.wait_seconds {
            None => Ok(self),
            Some(seconds) => Err(ApiError::new(
                ErrorCode::InvalidParameter,
                format!("wait is true or false here, not {seconds}; only a poll takes seconds"),
            )),
        }
    }

    fn read(request: &Request<'_>, settings: &Settings) -> Result<Self, ApiError> {
        let query = Query::of(request);
        let keys = keys(&query, settings.max_keys_per_client)?;
        let given = [
            request.headers().get_one("Last-Event-ID"),
            query.text("last_event_id")?,
            query.text("lastEventId")?,
            query.text("after")?,
        ];
        let cursor = given
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .map(cursor)
            .transpose()?;
        if keys.len() > 1
            && cursor
                .as_ref()
                .is_some_and(|cursor| cursor.bare().is_some())
        {
            let message = "With several keys the cursor has to name the stream of each id, as in \
                           KEY:ID,KEY:ID";
            return Err(ApiError::new(ErrorCode::InvalidEventId, message));
        }
        let start = query
            .text("from")?
            .filter(|text| !text.is_empty())
            .map_or(Ok(StartPosition::Start), start_position)?;
        let wanted = query.texts("events")?;
        let filter = EventFilter::read(wanted)
            .map_err(|error| ApiError::new(ErrorCode::InvalidParameter, error.to_string()))?;
        let rollup = Rollup::read(
            &query.texts("rollup")?,
            &query.texts("rollup_path")?,
            query.text("rollup_ms")?,
        )
        .map_err(|error| ApiError::new(ErrorCode::InvalidParameter, error.to_string()))?;
        let name_and_tags = NameAndTags::read(&query)?;
        let mut parsed = Self {
            keys,
            cursor,
            start,
            filter,
            rollup,
            wait: false,
            wait_seconds: None,
            name_and_tags,
        };
        for text in query.texts("wait")? {
            match (text, text.parse()) {
                ("true", _) => parsed.wait = true,
                ("false", _) => parsed.wait = false,
                (_, Ok(seconds @ 0..=MAX_WAIT_SECONDS)) => parsed.wait_seconds = Some(seconds),
                _ => {
                    let message = format!(
                        "wait is true or false, \
                         or 0 to {MAX_WAIT_SECONDS} seconds for a poll, not {text:?}"
                    );
                    return Err(ApiError::new(ErrorCode::InvalidParameter, message));
                }
            }
        }
        Ok(parsed)
    }
}

/// Reads the distinct keys of a query. It stops at the first key that is too many, so that a long
/// query costs no more than it may ask.
fn keys(query: &Query<'_>, max: usize) -> Result<Vec<StreamKey>, ApiError> {
    let (mut keys, mut seen) = (Vec::new(), HashSet::new());
    for key in query.all("key") {
        // Text that is not UTF-8 is no key.
        let key = key.unwrap_or_default();
        if !seen.insert(key) {
            continue;
        }
        if keys.len() == max {
            let message =
                format!("A connection can follow at most {max} streams; the query names more");
            return Err(ApiError::new(ErrorCode::TooManyKeys, message));
        }
        keys.push(stream_key(key)?);
    }
    if keys.is_empty() {
        Err(ApiError::new(
            ErrorCode::MissingParameter,
            "The query needs the parameter key: ?key=…",
        ))
    } else {
        Ok(keys)
    }
}

/// Reads a cursor.
pub(super) fn cursor(text: &str) -> Result<Cursor, ApiError> {
    Cursor::read(text).map_err(|error| ApiError::new(ErrorCode::InvalidEventId, error.to_string()))
}

/// Reads where to begin.
pub(super) fn start_position(text: &str) -> Result<StartPosition, ApiError> {
    text.parse()
        .map_err(|error: crate::stream::InvalidStartPosition| {
            ApiError::new(ErrorCode::InvalidParameter, format!("from: {error}"))
        })
}

#[async_trait]
impl<'r> FromRequest<'r> for SubscribeRequest {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Without settings the server was put together wrongly, which no request can cause.
        let Some(settings) = request.rocket().state::<Settings>() else {
            return ApiError::internal().refuse(request);
        };
        match Self::read(request, settings) {
            Ok(parsed) => Outcome::Success(parsed),
            Err(error) => error.refuse(request),
        }
    }
}
