//! The query parameters of routes with signals.

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};

use crate::{
    http::{
        error::{ApiError, ErrorCode},
        query::Query,
    },
    stream::{Generation, MAX_SEQUENCE},
};

/// How long a request may wait for signals, in seconds.
pub(super) const MAX_WAIT_SECONDS: u64 = 60;

/// `after` and `wait` of a request for signals, and the header `Last-Event-ID`.
pub struct SignalsQuery {
    /// The number after which to begin.
    pub(super) after: u64,
    /// The generation of the header's id.
    pub(super) generation: Option<Generation>,
    /// Seconds to wait while there are none.
    pub(super) wait: u64,
    /// The caller wants server-sent events.
    pub(super) as_events: bool,
}

/// `signals` of a producer's WebSocket: the number after which it begins, if it wants signals.
pub struct SocketSignals(pub(in crate::http) Option<u64>);

/// `signals` of an upload: whether it wants to learn a stop.
pub struct UploadSignals(pub(in crate::http) bool);

fn invalid(message: &'static str) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameter, message)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number <= MAX_SEQUENCE)
}

impl SignalsQuery {
    fn parse(request: &Request<'_>) -> Result<Self, ApiError> {
        let query = Query::of(request);
        let wait = match query.text("wait")? {
            None => 0,
            Some(text) => number(text)
                .filter(|seconds| *seconds <= MAX_WAIT_SECONDS)
                .ok_or_else(|| invalid("wait is 0 to 60 seconds"))?,
        };
        let wants_events = |accept: &str| accept.contains("text/event-stream");
        let mut parsed = Self {
            after: 0,
            generation: None,
            wait,
            as_events: request.headers().get("Accept").any(wants_events),
        };
        if let Some(after) = query.text("after")? {
            let problem = || invalid("after is the number of a signal, from 0");
            parsed.after = number(after).ok_or_else(problem)?;
        }
        // A client that reconnects by itself has the header's position, which is the newer one.
        if let Some(id) = request.headers().get_one("Last-Event-ID") {
            let position = id
                .split_once(':')
                .and_then(|(generation, seq)| Some((generation.parse().ok()?, number(seq)?)));
            let problem = || invalid("Last-Event-ID is GENERATION:SEQ, as the broker sent it");
            let (generation, after) = position.ok_or_else(problem)?;
            (parsed.generation, parsed.after) = (Some(generation), after);
        }
        Ok(parsed)
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for SignalsQuery {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        match Self::parse(request) {
            Ok(parsed) => Outcome::Success(parsed),
            Err(error) => error.refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for SocketSignals {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        let parsed = Query::of(request).text("signals").and_then(|text| {
            let problem = || invalid("signals is the number of a signal, from 0");
            text.map(|text| number(text).ok_or_else(problem))
                .transpose()
        });
        match parsed {
            Ok(after) => Outcome::Success(Self(after)),
            Err(error) => error.refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for UploadSignals {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        match Query::of(request).text("signals") {
            Ok(None) => Outcome::Success(Self(false)),
            Ok(Some("stop")) => Outcome::Success(Self(true)),
            Ok(Some(_)) => {
                invalid("signals takes only the value stop for an upload").refuse(request)
            }
            Err(error) => error.refuse(request),
        }
    }
}
