//! Long polling: for subscribers whose network lets no stream through.

use std::{io, slice, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream, unfold},
};
use rocket::{
    Request, get,
    http::{ContentType, Header, Status},
    response::{self, Responder},
};
use tokio::time::{Instant, timeout_at};

use super::{
    admit::open_streams,
    body::EXCLUSIVE_PROBE,
    caching::{Freshness, FreshnessHeaders, KnownTags},
    documented::{EventParams, Forbidden, KeyParams, MetadataParams, SubscribeErrors},
    poll_body::{PollBody, Polled},
    request::SubscribeRequest,
};
use crate::{
    http::{
        error::{ApiError, ErrorBody},
        guards::TokenGrant,
        hooks::{SubscribeHook, script_failed},
        state::AppState,
        store_error::at,
        streaming::{
            CHUNK_BYTES, chunks, streaming_response, with_content_length, with_write_timeout,
            write_timeout,
        },
    },
    session::{Admission, Output, Session, Subscription, UpdateError},
    telemetry::metrics::Transport,
};

/// How long a poll waits that does not say how long.
const DEFAULT_WAIT_SECONDS: u64 = 25;

/// Returns the events after a position. If there are none, the broker waits for one before it
/// answers.
#[utoipa::path(
    operation_id = "poll_events",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(
        KeyParams,
        (
            "after" = Option<String>,
            Query,
            description = "The `cursor` of the last response, or an event's id. `last_event_id`, \
                `lastEventId` and the header `Last-Event-ID` do the same"
        ),
        (
            "wait" = Option<String>,
            Query,
            description = "Seconds to wait if there is no new event: 0 to 60, by default 25. Send \
                `wait=true` in addition to wait for streams that do not exist yet"
        ),
        EventParams,
        MetadataParams,
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "The `ETag` of a response that the subscriber has"
        ),
    ),
    responses(
        (
            status = 200,
            description = "The new events, or none after the wait. Caches may keep a response for \
                finished streams",
            body = Polled
        ),
        (status = 304, description = "The subscriber already has this response"),
        SubscribeErrors,
        Forbidden,
        (
            status = 429,
            description = "`too-many-clients`: a limit of subscribers is reached. Only a request \
                that has to wait, or whose response has more than 16 KiB, gets this",
            body = ErrorBody<'static>
        ),
    )
)]
#[get("/client/poll")]
pub async fn poll(
    token: TokenGrant,
    request: SubscribeRequest,
    known: KnownTags,
    state: AppState<'_>,
    hook: SubscribeHook,
) -> Result<PollResponse, ApiError> {
    let resolver = state.resolver(&token, hook);
    let streams = resolver.resolve(&request).await?;
    let subscriber = resolver.ask_script(&request).await?;
    let mut body = PollBody::new(&request);
    let freshness = Freshness::of(&streams, &token);
    // Finished streams give the same answer each time: they are read one after the other, and not
    // in the order in which the store answers.
    let mut subscriptions: Vec<_> = if freshness.is_final {
        let streams = streams.into_iter();
        streams
            .map(|stream| resolver.subscription(&request, vec![stream], subscriber.clone()))
            .collect()
    } else {
        vec![resolver.subscription(&request, streams, subscriber)]
    };
    for subscription in &mut subscriptions {
        while !body.is_full()
            && let Some(output) = history(subscription, &request, body.has_updates()).await?
        {
            // A filter may pass over a long history. The new position is then an answer. The
            // position at the start is not: it comes first of all.
            let has_new_position = matches!(output, Output::Positions(_)) && body.has_updates();
            body.take(subscription, &output);
            if has_new_position {
                break;
            }
        }
    }
    let metrics = state.metrics.clients(Transport::Poll);
    metrics.deliver(body.events(), body.bytes());
    let wait = Duration::from_secs(request.wait_seconds.unwrap_or(DEFAULT_WAIT_SECONDS));
    let is_over = |subscription: &Subscription| subscription.outcome().is_some();
    if !body.has_updates()
        && !wait.is_zero()
        && !subscriptions.iter().all(is_over)
        && let Some(subscription) = subscriptions.pop()
    {
        return wait_for_update(&state, subscription, &request, wait, body).await;
    }
    let streams = subscriptions.iter().flat_map(open_streams).collect();
    let body = body.into_json(&subscriptions);
    // What the script makes of the events is for this subscriber, at this moment.
    let headers = if subscriptions.iter().any(Subscription::is_rewritten) {
        FreshnessHeaders::default()
    } else {
        freshness.headers(&body, known.as_deref())
    };
    // Rocket alone holds a small answer. An answer that the subscriber has is not sent.
    let admission = if body.len() <= CHUNK_BYTES || headers.is_known {
        None
    } else {
        let timeouts = state.timeouts(None);
        let admission = state.admit(streams, &request, Transport::Poll, timeouts);
        Some(admission.await?)
    };
    Ok(PollResponse::Complete {
        body: body.into(),
        headers,
        admission,
    })
}

/// The next output of what is stored. Where the script fails, an answer that has updates already
/// ends there: the next request gets the error.
async fn history(
    subscription: &mut Subscription,
    request: &SubscribeRequest,
    has_updates: bool,
) -> Result<Option<Output>, ApiError> {
    match subscription.history().await {
        Ok(output) => Ok(output),
        Err(UpdateError::Store(error)) => Err(at(&request.keys[0])(error)),
        Err(UpdateError::Script(_)) if has_updates => Ok(None),
        Err(UpdateError::Script(error)) => {
            tracing::warn!(%error, "the script failed a poll");
            Err(script_failed())
        }
    }
}

/// Waits for an update, in a session. The answer has begun by then: JSON may begin with white
/// space, which shows whether the subscriber is still there.
async fn wait_for_update(
    state: &AppState<'_>,
    subscription: Subscription,
    request: &SubscribeRequest,
    wait: Duration,
    body: PollBody,
) -> Result<PollResponse, ApiError> {
    let deadline = Instant::now() + wait;
    let probe = Some(EXCLUSIVE_PROBE);
    let session = state.start_session(subscription, request, Transport::Poll, probe);
    let waiting = Waiting {
        session: session.await?,
        body,
        deadline,
        stall: state.settings.client_timeout,
    };
    let pieces = unfold(Some(waiting), |waiting| async {
        Some(waiting?.next().await)
    });
    Ok(PollResponse::Waiting(Box::pin(pieces.flatten())))
}

type Bodies = BoxStream<'static, io::Result<Bytes>>;

/// A poll that waits for an update.
struct Waiting {
    session: Session,
    body: PollBody,
    deadline: Instant,
    /// How long the subscriber may take nothing.
    stall: Duration,
}

impl Waiting {
    /// The next bytes of the answer, and the rest of the wait if they are not the last.
    async fn next(mut self) -> (Bodies, Option<Self>) {
        self.session.record_taken();
        while let Ok(output) = timeout_at(self.deadline, self.session.next()).await {
            match &output {
                Output::Update(..) => {
                    self.body.take(self.session.subscription_mut(), &output);
                    if let Some((stream, batch)) = output.batch() {
                        let bytes = self.body.bytes();
                        self.session.count_delivery(stream, batch, bytes);
                    }
                    break;
                }
                // The answer to the next request says why.
                Output::Close(_) => break,
                Output::Heartbeat => {
                    self.session.record_handed_over();
                    return (once(Bytes::from_static(b" ")), Some(self));
                }
                Output::Positions(_) | Output::CaughtUp => {}
            }
        }
        let subscription = slice::from_ref(self.session.subscription());
        let body = Bytes::from(self.body.into_json(subscription));
        let admission = self.session.into_admission();
        let body = if body.len() <= CHUNK_BYTES {
            once(body)
        } else {
            held(body, admission, self.stall)
        };
        (body, None)
    }
}

fn once(bytes: Bytes) -> Bodies {
    Box::pin(stream::iter([Ok(bytes)]))
}

/// The body of a subscriber that stays admitted until it has taken everything.
fn held(body: Bytes, admission: Admission, stall: Duration) -> Bodies {
    let admission = Arc::new(admission);
    let watched = Arc::clone(&admission);
    let disconnected = async move { watched.disconnected().await };
    with_write_timeout(chunks(body), stall, disconnected, admission)
}

/// The answer to a poll.
pub enum PollResponse {
    /// It is complete.
    Complete {
        /// The JSON text.
        body: Bytes,
        /// How long it may be cached.
        headers: FreshnessHeaders,
        /// The admission of a subscriber that takes a large answer.
        admission: Option<Admission>,
    },
    /// The JSON text comes with the next update, or when the time is over.
    Waiting(BoxStream<'static, io::Result<Bytes>>),
}

impl<'r> Responder<'r, 'static> for PollResponse {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let (body, headers, admission) = match self {
            Self::Complete {
                body,
                headers,
                admission,
            } => (body, headers, admission),
            Self::Waiting(body) => return Ok(streaming_response(ContentType::JSON, body)),
        };
        let length = body.len();
        let mut response = match admission {
            _ if headers.is_known => rocket::Response::build()
                .status(Status::NotModified)
                .finalize(),
            Some(admission) => {
                let body = held(body, admission, write_timeout(request));
                with_content_length(streaming_response(ContentType::JSON, body), length)
            }
            None => rocket::Response::build()
                .header(ContentType::JSON)
                .sized_body(length, io::Cursor::new(body))
                .finalize(),
        };
        match headers.tag {
            None => _ = response.set_header(Header::new("Cache-Control", "no-store")),
            Some((tag, cache_control)) => {
                response.set_header(Header::new("ETag", tag));
                response.set_header(Header::new("Cache-Control", cache_control));
                response.set_header(Header::new("Vary", "Authorization, Last-Event-ID"));
            }
        }
        Ok(response)
    }
}
