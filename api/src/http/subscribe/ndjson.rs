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
    documented::{
        EventParams, Forbidden, KeyParams, LimitReached, MetadataParams, SubscribeErrors,
        WaitParams,
    },
    objects::objects,
    request::SubscribeRequest,
    resolve::is_complete,
};
use crate::{
    http::{
        error::ApiError, guards::TokenGrant, hooks::SubscribeHook, state::AppState,
        streaming::streaming_response,
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

/// Follows streams as newline-delimited JSON: one object per event, with the `key` of its stream.
/// An empty line is a heartbeat.
#[utoipa::path(
    operation_id = "follow_ndjson",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(
        KeyParams,
        (
            "last_event_id" = Option<String>,
            Query,
            description = "Where to resume: the id of the last event, or a cursor. \
                `lastEventId`, `after` and the header `Last-Event-ID` do the same"
        ),
        EventParams,
        WaitParams,
        MetadataParams,
    ),
    responses(
        (
            status = 200,
            description = "A line per event, until all streams have ended",
            body = String,
            content_type = "application/x-ndjson"
        ),
        (
            status = 204,
            description = "All streams have ended, and the subscriber has all events"
        ),
        SubscribeErrors,
        Forbidden,
        LimitReached,
    )
)]
#[get("/client/ndjson")]
pub async fn follow(
    token: TokenGrant,
    request: SubscribeRequest,
    state: AppState<'_>,
    hook: SubscribeHook,
) -> Result<Lines, ApiError> {
    let request = request.streaming()?;
    let resolver = state.resolver(&token, hook);
    let streams = resolver.resolve(&request).await?;
    let subscriber = resolver.ask_script(&request).await?;
    if is_complete(&streams) {
        return Ok(Lines::Complete);
    }
    let subscription = resolver.subscription(&request, streams, subscriber);
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
            Self::Lines(lines) => {
                streaming_response(ContentType::new("application", "x-ndjson"), lines)
            }
            Self::Complete => rocket::Response::build()
                .status(Status::NoContent)
                .raw_header("Cache-Control", "no-store")
                .finalize(),
        })
    }
}
