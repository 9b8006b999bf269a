//! `POST`: publishes a message.

use std::{io::Cursor, sync::Arc};

use rocket::{
    Data, Request, Response, async_trait,
    data::ToByteUnit,
    http::{ContentType, Status},
    response::{self, Responder},
    route::{Handler, Outcome},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{error::TinysseError, message::Message, node::Node, request_table};
use crate::{
    hooks::Hook,
    telemetry::metrics::{IngestMetrics, Way},
};

/// The handler of the route.
#[derive(Clone)]
pub(super) struct Publish(pub(super) Arc<Node>);

#[async_trait]
impl Handler for Publish {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        match self.0.publish(request, data).await {
            Ok(accepted) => Outcome::from(request, accepted),
            Err(error) => Outcome::from(request, error),
        }
    }
}

/// The body of a response.
#[derive(Serialize)]
struct Accepted {
    /// Messages that some subscriber of this node has not taken yet.
    queued: u64,
    /// Subscribers of all nodes.
    subscribers: u64,
}

impl Node {
    async fn publish(
        &self,
        request: &Request<'_>,
        data: Data<'_>,
    ) -> Result<Accepted, TinysseError> {
        let format = Format::of(request)?;
        let body = self.body(data).await?;
        let message = match format {
            Format::Json => Message::of_json(&body)?,
            Format::Form => Message::of_form(&body)?,
        };
        let req = request_table::of(request);
        let publication = json!({ "req": req, "msg": message.into_table() });
        let stored = self.script(publication).await?;
        let newest = match stored {
            Some(publication) => Some(self.store(publication).await?),
            None => None,
        };
        let here = self.registry.subscribers(&self.stream.key);
        let elsewhere = self.stream.subscribers_elsewhere().await;
        Ok(Accepted {
            queued: newest.map_or(0, |newest| self.stream.queued(newest)),
            subscribers: u64::from(here) + elsewhere,
        })
    }

    async fn body(&self, data: Data<'_>) -> Result<Vec<u8>, TinysseError> {
        let max = self.options.max_body;
        let reading = data.open(max.bytes()).into_bytes();
        match timeout(self.settings.body_timeout, reading).await {
            Ok(Ok(body)) if body.is_complete() => Ok(body.into_inner()),
            Ok(Ok(_)) => Err(TinysseError::BodyTooLarge(max)),
            Ok(Err(_)) => Err(TinysseError::Incomplete),
            Err(_) => Err(TinysseError::TooSlow),
        }
    }

    /// What is to be stored: the publication as the script returns it, without credentials. None
    /// where the script has removed everything from the message.
    async fn script(&self, mut publication: Value) -> Result<Option<Value>, TinysseError> {
        let req = publication.get("req").cloned().unwrap_or_default();
        if let Some(hooks) = self.hooks_with(Hook::Publish) {
            let changed = hooks.publish(publication).await?;
            publication = changed.ok_or(TinysseError::PublishRejected)?;
        }
        let message = Message::of_publication(&publication).map_err(|error| {
            tracing::error!(%error, "the hook publish returned no message");
            TinysseError::Script
        })?;
        if message.is_empty() {
            return Ok(None);
        }
        if let Value::Object(table) = &mut publication {
            // As in tinysse, changes to the request are not kept.
            table.insert("req".to_owned(), request_table::without_credentials(req));
            table.insert("msg".to_owned(), message.into_table());
        }
        Ok(Some(publication))
    }

    async fn store(&self, publication: Value) -> Result<crate::stream::EventId, TinysseError> {
        let text = publication.to_string();
        let (bytes, max) = (text.len(), self.max_stored());
        if bytes > max {
            return Err(TinysseError::MessageTooLarge(max));
        }
        let id = self.stream.append(text).await?;
        let metrics: &IngestMetrics = self.metrics.ingest(Way::Batch);
        metrics.write(1, bytes, 0);
        Ok(id)
    }
}

/// The format of a body.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Form,
}

impl Format {
    fn of(request: &Request<'_>) -> Result<Self, TinysseError> {
        let text = request.headers().get_one("Content-Type");
        let text = text.ok_or(TinysseError::NoContentType)?;
        match request.content_type() {
            Some(kind) if kind.is_json() => Ok(Self::Json),
            Some(kind) if kind.is_form() => Ok(Self::Form),
            _ => Err(TinysseError::MediaType(text.to_owned())),
        }
    }
}

impl<'r> Responder<'r, 'static> for Accepted {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = serde_json::to_string(&self).map_err(|_| Status::InternalServerError)?;
        Response::build()
            .status(Status::Accepted)
            .header(ContentType::JSON)
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}
