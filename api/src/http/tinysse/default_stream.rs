//! The stream of messages, for a script that publishes: `broker.publish` without a key.

use std::sync::Arc;

use rocket::async_trait;
use serde_json::{Map, Value};

use super::{
    message::Message,
    node::max_stored,
    options::TinysseOptions,
    stream::{KEY, MessageStream},
};
use crate::{
    config::Settings,
    hooks::{BrokerError, DefaultStream},
    store::{SharedStore, StoreError},
    stream::{EventId, InvalidKey},
    telemetry::metrics::{SharedMetrics, Way},
};

/// The stream of messages of the server with these options.
pub fn default_stream(
    options: &TinysseOptions,
    settings: &Settings,
    store: SharedStore,
    metrics: SharedMetrics,
) -> Result<Arc<dyn DefaultStream>, InvalidKey> {
    Ok(Arc::new(ScriptedMessages {
        stream: MessageStream::new(store, KEY.parse()?, options.capacity),
        max_bytes: max_stored(options, settings),
        metrics,
    }))
}

struct ScriptedMessages {
    stream: MessageStream,
    max_bytes: usize,
    metrics: SharedMetrics,
}

#[async_trait]
impl DefaultStream for ScriptedMessages {
    fn key(&self) -> &str {
        self.stream.key.as_str()
    }

    async fn publish(&self, messages: Vec<Value>) -> Result<Vec<String>, BrokerError> {
        let publications = messages.into_iter().map(|message| self.stored(message));
        let publications = publications.collect::<Result<Vec<_>, _>>()?;
        let (count, bytes) = (
            publications.len(),
            publications.iter().map(String::len).sum(),
        );
        let ids = self.stream.append_each(publications).await;
        let ids = ids.map_err(|error| refusal(&error))?;
        self.metrics.ingest(Way::Batch).write(count, bytes, 0);
        Ok(ids.iter().map(EventId::to_string).collect())
    }
}

impl ScriptedMessages {
    /// What is stored of a message, or of a publication with one.
    fn stored(&self, message: Value) -> Result<String, BrokerError> {
        let mut publication = match message {
            Value::Object(table) if table.contains_key("msg") => table,
            message => Map::from_iter([("msg".to_owned(), message)]),
        };
        let message = Message::of_table(publication.get("msg").unwrap_or(&Value::Null));
        let message =
            message.map_err(|error| BrokerError::new("invalid-event", error.to_string()))?;
        if message.is_empty() {
            let text = "A message needs at least one of id, event, data and comment";
            return Err(BrokerError::new("invalid-event", text));
        }
        publication.insert("msg".to_owned(), message.into_table());
        // The table of a request has its credentials. The event belongs to no request.
        publication.remove("req");
        let text = Value::Object(publication).to_string();
        let (bytes, limit) = (text.len(), self.max_bytes);
        if bytes > limit {
            let text = format!("A message has at most {limit} bytes as it is stored, not {bytes}");
            return Err(BrokerError::new("too-large", text));
        }
        Ok(text)
    }
}

fn refusal(error: &StoreError) -> BrokerError {
    tracing::warn!(%error, "the store failed a script");
    match error {
        StoreError::Unavailable(_) | StoreError::Refused { .. } => BrokerError::store_unavailable(),
        _ => BrokerError::internal(),
    }
}
