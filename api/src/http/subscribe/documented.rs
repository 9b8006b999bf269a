//! Parameters and error responses that the subscribe routes share, for the OpenAPI document.
//!
//! The routes read their parameters with `request.rs`.

use utoipa::{IntoParams, IntoResponses};

use crate::http::error::ErrorBody;

/// The streams of each route.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyParams {
    /// The key of a stream. Repeat it to follow several streams
    pub key: Vec<String>,
}

/// What a subscriber gets of its streams, of each route.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventParams {
    /// Where to start in a stream that the cursor does not name: `start`, `now`, `-N` for the last
    /// N events, or an RFC 3339 time
    pub from: Option<String>,
    /// The event names filter: names, separated by commas. A `*` at the end of a name stands for
    /// any ending
    pub events: Option<String>,
    /// The name of events to join: the broker sends consecutive stored events of this name as one.
    /// It concatenates their data, and uses the id of the last. Repeat it for several names
    pub rollup: Option<Vec<String>>,
    /// A JSON pointer (RFC 6901) for each `rollup`, in the same order. The broker concatenates the
    /// string at this place of the data. It joins events only if the rest is equal. An empty
    /// pointer stands for all of the data
    pub rollup_path: Option<Vec<String>>,
    /// For how many milliseconds the broker also gathers live events
    #[param(maximum = 500)]
    pub rollup_ms: Option<u64>,
}

/// What a subscriber says of itself, of each route.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetadataParams {
    /// The subscriber's name in the list of connected subscribers: up to 128 bytes
    pub client_name: Option<String>,
    /// Tags of the subscriber, separated by commas: up to 16, each up to 64 bytes
    pub tags: Option<String>,
}

/// The query of each streaming route; a poll takes seconds in `wait` too.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitParams {
    /// Wait for streams that do not exist yet
    pub wait: Option<bool>,
}

/// Where to resume, of the routes that browsers use.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ResumeParams {
    /// Where to resume: the id of the last event, or a cursor. `after` does the same
    pub last_event_id: Option<String>,
    /// The same as `last_event_id`
    #[param(rename = "lastEventId")]
    pub last_event_id_in_camel_case: Option<String>,
}

/// The same as `last_event_id`, in the header that browsers send when they reconnect.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct ResumeHeader {
    /// The same as `last_event_id`, which it overrides. Browsers send it when they reconnect
    #[param(rename = "Last-Event-ID")]
    pub last_event_id: Option<String>,
}

/// The errors of each route.
#[derive(IntoResponses)]
pub enum SubscribeErrors {
    /// `missing-parameter`, `invalid-key`, `invalid-event-id`, `invalid-parameter`,
    /// `too-many-keys`, `cross-slot`
    #[response(status = 400)]
    InvalidRequest(ErrorBody<'static>),
    /// `unauthorized`, `token-expired`
    #[response(status = 401)]
    Unauthorized(ErrorBody<'static>),
    /// `stream-not-found`
    #[response(status = 404)]
    StreamNotFound(ErrorBody<'static>),
    /// `store-unavailable`, `script-failed`, `shutting-down`
    #[response(status = 503)]
    Unavailable(ErrorBody<'static>),
}

/// `forbidden`: the token does not open a stream, is for an earlier stream at its key, or does not
/// permit to read. `refused-by-script`: the broker's script refuses the subscriber
#[derive(IntoResponses)]
#[response(status = 403)]
pub struct Forbidden(pub ErrorBody<'static>);

/// `too-many-clients`: the node, a stream or the subscriber's address has too many subscribers
#[derive(IntoResponses)]
#[response(status = 429)]
pub struct LimitReached(pub ErrorBody<'static>);
