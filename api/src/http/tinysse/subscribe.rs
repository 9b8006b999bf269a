//! `GET`: follows all messages that are published from now on.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use rocket::{
    Data, Request, Response, async_trait,
    http::ContentType,
    route::{Handler, Outcome},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    connection::{Connection, Frames, reconnect},
    error::TinysseError,
    message::Message,
    node::Node,
    request_table,
};
use crate::{
    hooks::SharedSubscriber,
    http::{query::Query, streaming::streaming_response},
    session::{Admission, AdmissionRequest, ClientMetadata, Session, Timeouts},
    stream::SharedPosition,
    telemetry::metrics::{Refusal, Transport},
};

/// Silence after which the server writes an empty comment. Only a write shows that a subscriber has
/// left, and scripts and publishers want to know it soon.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// The session itself never ends because of silence: the age of the connection ends it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The first line of every event stream.
const OK: &[u8] = b": ok\n\n";

/// The handler of the route.
#[derive(Clone)]
pub(super) struct Subscribe(pub(super) Arc<Node>);

#[async_trait]
impl Handler for Subscribe {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        match Node::subscribe(&self.0, request).await {
            Ok(frames) => Outcome::Success(event_stream(frames)),
            Err(error) => Outcome::from(request, error),
        }
    }
}

/// The handler of `HEAD`: what `GET` would answer, without a subscriber.
#[derive(Clone)]
pub(super) struct SubscribeHead;

#[async_trait]
impl Handler for SubscribeHead {
    async fn handle<'r>(&self, _: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        Outcome::Success(event_stream(Box::pin(futures::stream::empty())))
    }
}

fn event_stream<'r>(frames: Frames) -> Response<'r> {
    let mut response = streaming_response(ContentType::EventStream, frames);
    // tinysse's value, and what keeps a proxy from compressing, which would delay messages.
    response.set_raw_header("Cache-Control", "no-cache, no-transform");
    response
}

impl Node {
    async fn subscribe(node: &Arc<Self>, request: &Request<'_>) -> Result<Frames, TinysseError> {
        let mut first = BytesMut::from(OK);
        if node.lifecycle.is_closing() {
            // For an `EventSource` any status except 200 is final: a subscriber that comes a moment
            // too late would never connect to another node.
            node.metrics
                .clients(Transport::Sse)
                .refuse(Refusal::Shutdown);
            first.extend_from_slice(&reconnect());
            let only = futures::stream::iter([Ok(first.freeze())]);
            return Ok(Box::pin(only));
        }
        let started = Instant::now();
        let subscriber = node.script_subscriber(request).await?;
        // The position comes before the catch-up: no message is lost between the two.
        let (subscription, position) = node.stream.subscribe().await?;
        let admission = node.admit(request, position.clone()).await?;
        if let (Some(subscriber), Some(last)) = (&subscriber, last_event_id(request)) {
            node.metrics.clients(Transport::Sse).resumes.inc();
            for message in subscriber.catchup(&last).await? {
                put_caught_up(&mut first, &message)?;
            }
        }
        let session = Session::new(subscription, admission, node.settings.store_patience);
        let connection = Connection {
            session,
            subscriber,
            node: Arc::clone(node),
            started,
            _follow: node.stream.follow(position),
        };
        Ok(connection.start(first.freeze()))
    }

    /// The subscriber as the script knows it; none without a script.
    async fn script_subscriber(
        &self,
        request: &Request<'_>,
    ) -> Result<Option<SharedSubscriber>, TinysseError> {
        let Some(hooks) = &self.hooks else {
            return Ok(None);
        };
        let table = json!({ "req": request_table::of(request) });
        let subscriber = hooks.subscribe(table).await?;
        subscriber.map(Some).ok_or(TinysseError::SubscribeRejected)
    }

    async fn admit(
        &self,
        request: &Request<'_>,
        position: SharedPosition,
    ) -> Result<Admission, TinysseError> {
        let wanted = AdmissionRequest {
            streams: vec![(self.stream.key.clone(), position)],
            address: request.client_ip(),
            metadata: ClientMetadata {
                transport: Transport::Sse,
                name: None,
                tags: Box::default(),
                filter: None,
            },
        };
        let timeouts = Timeouts {
            heartbeat: PROBE_INTERVAL,
            idle: NEVER,
        };
        let metrics = self.metrics.clients(Transport::Sse);
        Ok(self.registry.admit(wanted, timeouts, metrics).await?)
    }
}

/// Adds a message that the hook `catchup` returned: a message itself, or a publication with one.
fn put_caught_up(out: &mut BytesMut, returned: &Value) -> Result<(), TinysseError> {
    let message = match returned.get("msg") {
        Some(message) => Message::of_table(message),
        None => Message::of_table(returned),
    };
    let message = message.map_err(|error| {
        tracing::error!(%error, "the hook catchup returned something that is no message");
        TinysseError::Script
    })?;
    message.put(out);
    Ok(())
}

/// The id after which the subscriber resumes: of the header, or else of the query.
fn last_event_id(request: &Request<'_>) -> Option<String> {
    let header = request.headers().get_one("Last-Event-ID");
    if let Some(id) = header.filter(|id| !id.is_empty()) {
        return Some(id.to_owned());
    }
    let query = Query::of(request);
    let id = query.all("last_event_id").next().flatten();
    id.filter(|id| !id.is_empty()).map(ToOwned::to_owned)
}
