//! The stored events of a stream.

use std::io;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use rocket::{Response, State, get, http::ContentType, response::Responder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    codec::{json, segment::Part},
    http::{
        error::{ApiError, ErrorBody},
        guards::ApiKeyHolder,
        query::QueryKey,
        response::{AnswerPermit, paced, patience, pieces},
        store_error::at,
        streamed::streamed,
    },
    store::{Page, SharedStore, StoreError, StreamInfo},
};

/// An event as it is stored.
// For the documents; what is sent is written by `wire::json`.
#[derive(Serialize, ToSchema)]
pub struct StoredEvent {
    /// `<milliseconds>-<number>`.
    #[schema(example = "1767225600000-1")]
    id: String,
    /// When it was written. RFC 3339 with milliseconds.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    time: String,
    /// Its name.
    #[schema(example = "token")]
    event: String,
    /// Its data, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

/// All stored events of a stream, also after its end. Takes no streaming slot.
#[utoipa::path(operation_id = "stream_events", context_path = "/api", tag = "streams", security(("api_key" = [])), params(("key" = String, Query, description = "The stream's key")), responses(
    (status = 200, description = "The stored events, oldest first", body = Vec<StoredEvent>),
    (status = 400, description = "`missing-parameter`, `invalid-key`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: too many large answers are being sent", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/stream/events")]
pub async fn events(
    _backend: ApiKeyHolder,
    key: QueryKey,
    permit: AnswerPermit,
    store: &State<SharedStore>,
) -> Result<StoredEvents, ApiError> {
    let first = store.read(&key.0, None).await.map_err(at(&key.0))?;
    Ok(StoredEvents {
        store: SharedStore::clone(store),
        first,
        permit,
    })
}

/// A JSON array of a stream's events, written page by page, so that a long stream takes no more
/// memory than a page, and that only as long as the backend reads.
pub struct StoredEvents {
    store: SharedStore,
    first: Page,
    permit: AnswerPermit,
}

impl<'r> Responder<'r, 'static> for StoredEvents {
    fn respond_to(self, request: &'r rocket::Request<'_>) -> rocket::response::Result<'static> {
        let Self {
            store,
            first,
            permit,
        } = self;
        // The newest event when the request came: what is written later is not waited for.
        let StreamInfo {
            generation, last, ..
        } = first.info;
        let opening = stream::iter([Ok(array_items(&first, '['))]);
        let rest = stream::try_unfold(first.cursor, move |cursor| {
            let (store, key) = (SharedStore::clone(&store), first.key.clone());
            async move {
                if cursor.is_none_or(|cursor| cursor >= last) {
                    return Ok(None);
                }
                // The status line is sent: all that can be done about a failure is to break off,
                // which leaves the JSON without its end.
                let page = store.read(&key, cursor).await.map_err(io::Error::other)?;
                if page.info.generation != generation {
                    return Err(io::Error::other(StoreError::NotFound));
                }
                Ok(Some((array_items(&page, ','), page.cursor)))
            }
        });
        let closing = stream::iter([Ok(Bytes::from_static(b"]"))]);
        let pages = opening
            .chain(rest)
            .chain(closing)
            .map_ok(pieces)
            .try_flatten();
        let response: Response<'static> = streamed(
            ContentType::JSON,
            paced(pages, patience(request), std::future::pending(), permit),
        );
        Ok(response)
    }
}

/// The page's events as items of a JSON array, each after a comma, the first one after `lead`.
fn array_items(page: &Page, lead: char) -> Bytes {
    let mut out = String::new();
    let mut lead = lead;
    for entry in page.parts.iter().flat_map(Part::entries) {
        out.push(lead);
        out.push_str(&json::stored_entry(entry));
        lead = ',';
    }
    out.into()
}
