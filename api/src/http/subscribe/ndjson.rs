//! Subscribing over NDJSON, for programs.

use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use rocket::{
    Request, get,
    http::{ContentType, Status},
    response::{self, Responder},
};

use super::{
    body::{self, EXCLUSIVE_PROBE, Format},
    objects::objects,
    request::SubscribeRequest,
    resolve::is_complete,
};
use crate::{
    http::{
        error::{ApiError, ErrorBody},
        guards::TokenGrant,
        state::AppState,
        streamed::streamed,
    },
    session::{Output, Subscription},
    telemetry::metrics::Transport,
};

/// An empty line, which NDJSON readers skip.
const HEARTBEAT: &[u8] = b"\n";

/// Lines, or the answer that there are none.
pub enum Lines {
    /// As they come.
    Lines(BoxStream<'static, io::Result<Bytes>>),
    /// The subscriber has everything: 204.
    Complete,
}

/// Follows streams as newline-delimited JSON: an object per event, with its `key`. Empty lines are
/// heartbeats.
#[utoipa::path(operation_id = "follow_ndjson", context_path = "/api", tag = "clients", security(("client_token" = []), ("client_token_query" = [])), params(
    ("key" = Vec<String>, Query, description = "The stream's key; several for several streams"),
    ("last_event_id" = Option<String>, Query, description = "Where to go on: an event's id, or a cursor; also `lastEventId`, `after`, or the header `Last-Event-ID`"),
    ("from" = Option<String>, Query, description = "Where to begin otherwise: `start`, `now`, `-N` for the last N events, or an RFC 3339 time"),
    ("events" = Option<String>, Query, description = "Names of wanted events, separated by commas; a `*` at the end stands for any ending"),
    ("wait" = Option<bool>, Query, description = "Wait for streams that are not there yet"),
    ("client_name" = Option<String>, Query, description = "What the client is called in the list of clients: up to 128 bytes"),
    ("tags" = Option<String>, Query, description = "Tags of the client, separated by commas: up to 16 of up to 64 bytes")), responses(
    (status = 200, description = "Lines until all streams have ended", body = String, content_type = "application/x-ndjson"),
    (status = 204, description = "The streams have ended and the client has all of them"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-event-id`, `invalid-parameter`, `too-many-keys`, `cross-slot`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`, `token-expired`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: the token does not open a stream, or an earlier one at its key", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: of the node, a stream, or the client's address", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`", body = ErrorBody<'static>)))]
#[get("/client/ndjson")]
pub async fn follow(
    token: TokenGrant,
    request: SubscribeRequest,
    state: AppState<'_>,
) -> Result<Lines, ApiError> {
    let request = request.streaming()?;
    let resolver = state.resolver(&token);
    let streams = resolver.resolve(&request).await?;
    if is_complete(&streams) {
        return Ok(Lines::Complete);
    }
    let subscription = resolver.subscription(&request, streams);
    let session = state
        .start_session(
            subscription,
            &request,
            Transport::Ndjson,
            Some(EXCLUSIVE_PROBE),
        )
        .await?;
    let stall = state.settings.client_timeout;
    Ok(Lines::Lines(body::body(session, JsonLines, stall)))
}

/// The format of NDJSON: a line for each object.
struct JsonLines;

impl Format for JsonLines {
    fn bytes(&mut self, subscription: &Subscription, output: &Output) -> Bytes {
        if matches!(output, Output::Heartbeat) {
            return Bytes::from_static(HEARTBEAT);
        }
        let mut lines = objects(subscription, output, true).join("\n");
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.into()
    }
}

impl<'r> Responder<'r, 'static> for Lines {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(match self {
            Self::Lines(lines) => streamed(ContentType::new("application", "x-ndjson"), lines),
            Self::Complete => rocket::Response::build()
                .status(Status::NoContent)
                .raw_header("Cache-Control", "no-store")
                .finalize(),
        })
    }
}
