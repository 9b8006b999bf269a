//! The routes of the OpenAPI document and of the page that shows it.

use std::{borrow::Cow, io::Cursor, sync::Arc};

use bytes::Bytes;
use rocket::{
    Data, Request, Response, Route, async_trait,
    http::{ContentType, Method},
    response::{self, Redirect, Responder},
    route::{Handler, Outcome},
};
use utoipa_swagger_ui::{Config, SwaggerFile};

use super::document::document_json;
use crate::{
    codec::json::compact,
    http::error::{ApiError, ErrorCode},
};

/// The path of the page.
const PAGE: &str = "/api/docs/";

/// The path of the document.
const DOCUMENT: &str = "/api/openapi.json";

/// The routes of the document, `/api/openapi.json`, and of a page that shows it, `/api/docs/`. The
/// page loads nothing from other hosts.
///
/// utoipa's own routes for Rocket would enable Rocket's default features, and with them HTTP/2
/// without limits.
#[must_use]
pub fn routes() -> Vec<Route> {
    // By default the page would send the document to a third party, which validates it.
    let config = Config::from(DOCUMENT).validator_url("none");
    // The document always serializes: a test compares it with `spec/openapi.json`.
    let json = compact(&document_json().unwrap_or_default());
    vec![
        Route::new(Method::Get, "/api/docs/<_..>", Page(Arc::new(config))),
        Route::new(Method::Get, DOCUMENT, DocumentText(json.into())),
    ]
}

/// Serves the document. All responses share its bytes.
#[derive(Clone)]
struct DocumentText(Bytes);

#[async_trait]
impl Handler for DocumentText {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        Outcome::from(
            request,
            File {
                kind: ContentType::JSON,
                bytes: self.0.clone(),
            },
        )
    }
}

/// Serves the page and its files.
#[derive(Clone)]
struct Page(Arc<Config<'static>>);

#[async_trait]
impl Handler for Page {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        // The page loads its files by relative paths, so that its own path needs the slash.
        let Some(path) = request.uri().path().as_str().strip_prefix(PAGE) else {
            return Outcome::from(request, Redirect::found(PAGE));
        };
        match utoipa_swagger_ui::serve(path, Arc::clone(&self.0)) {
            Ok(Some(SwaggerFile {
                bytes,
                content_type,
                ..
            })) => {
                let kind =
                    ContentType::parse_flexible(&content_type).unwrap_or(ContentType::Binary);
                // All files are part of the binary, except the short one that names the document.
                let bytes = match bytes {
                    Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                    Cow::Owned(bytes) => bytes.into(),
                };
                Outcome::from(request, File { kind, bytes })
            }
            Ok(None) => Outcome::from(
                request,
                Err::<(), _>(ApiError::new(
                    ErrorCode::NotFound,
                    "The page has no such file",
                )),
            ),
            Err(error) => {
                tracing::error!(%error, "the broker could not show the OpenAPI page");
                Outcome::from(request, Err::<(), _>(ApiError::internal()))
            }
        }
    }
}

/// A file of a known length.
struct File {
    kind: ContentType,
    bytes: Bytes,
}

impl<'r> Responder<'r, 'static> for File {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build()
            .header(self.kind)
            .sized_body(self.bytes.len(), Cursor::new(self.bytes))
            .ok()
    }
}
