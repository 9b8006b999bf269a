//! `GET /stream/events`: the stored events of a stream.

use std::{future::pending, io};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use rocket::{
    Request, State, get,
    http::ContentType,
    response::{self, Responder},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    codec::{json, segment::Part},
    http::{
        error::ApiError,
        error_responses::{
            InvalidKeyParameter, StoreUnavailable, StreamNotFound, TooManyLargeResponses,
            Unauthorized,
        },
        guards::ApiKeyHolder,
        large_response::LargeResponsePermit,
        query::QueryKey,
        store_error::at,
        streaming::{chunks, streaming_response, with_write_timeout, write_timeout},
    },
    store::{Page, SharedStore, StoreError, StreamInfo},
};

/// An event as it is stored.
// For the OpenAPI document; `codec::json` writes the response.
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

/// Reads all stored events of a stream, also after its end. The request does not count as a
/// subscriber.
#[utoipa::path(
    operation_id = "stream_events",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    params(("key" = String, Query, description = "The stream's key")),
    responses(
        (status = 200, description = "The stored events, oldest first", body = Vec<StoredEvent>),
        InvalidKeyParameter,
        Unauthorized,
        StreamNotFound,
        TooManyLargeResponses,
        StoreUnavailable,
    )
)]
#[get("/stream/events")]
pub async fn events(
    _caller: ApiKeyHolder,
    key: QueryKey,
    permit: LargeResponsePermit,
    store: &State<SharedStore>,
) -> Result<StoredEvents, ApiError> {
    let first = store.read(&key.0, None).await.map_err(at(&key.0))?;
    Ok(StoredEvents {
        store: SharedStore::clone(store),
        first,
        permit,
    })
}

/// A JSON array of a stream's events. The broker reads and writes it page by page, so that a long
/// stream takes no more memory than a page.
pub struct StoredEvents {
    store: SharedStore,
    first: Page,
    permit: LargeResponsePermit,
}

impl<'r> Responder<'r, 'static> for StoredEvents {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Self {
            store,
            first,
            permit,
        } = self;
        let body = array(store, first).map_ok(chunks).try_flatten();
        Ok(streaming_response(
            ContentType::JSON,
            with_write_timeout(body, write_timeout(request), pending(), permit),
        ))
    }
}

/// The pages of the array.
fn array(
    store: SharedStore,
    first: Page,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    // The newest event when the request came. The array ends there, whatever is written later.
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
            // The status line was already sent. After a failure the broker can only break off,
            // which leaves the JSON incomplete.
            let page = store.read(&key, cursor).await.map_err(io::Error::other)?;
            if page.info.generation != generation {
                return Err(io::Error::other(StoreError::NotFound));
            }
            Ok(Some((array_items(&page, ','), page.cursor)))
        }
    });
    let closing = stream::iter([Ok(Bytes::from_static(b"]"))]);
    opening.chain(rest).chain(closing)
}

/// The page's events as items of a JSON array. `lead` stands before the first item, and a comma
/// before each other item.
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
