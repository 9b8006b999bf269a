//! The routes of the OpenAPI document and of the page that shows it.

use std::io::Cursor;

use bytes::Bytes;
use rocket::{
    Data, Request, Response, Route, async_trait,
    http::{ContentType, Method},
    response::{self, Redirect, Responder},
    route::{Handler, Outcome},
};
use rust_embed::RustEmbed;

use super::document::document_json;
use crate::{codec::json::compact, http::embedded::EmbeddedFile};

/// The path of the page.
const PAGE: &str = "/api/docs/";

/// The page's files: Swagger UI, and what makes it show the broker's document. The crate
/// `utoipa-swagger-ui` has them in an archive, and compiles a dozen crates to unpack it.
#[derive(RustEmbed)]
#[folder = "swagger-ui/www"]
struct Files;

/// The routes of the document, `/api/openapi.json`, and of a page that shows it, `/api/docs/`. The
/// page loads nothing from other hosts.
#[must_use]
pub fn routes() -> Vec<Route> {
    // The document always serializes: a test compares it with `spec/openapi.json`.
    let json = compact(&document_json().unwrap_or_default());
    let document = DocumentText(json.into());
    vec![
        Route::new(Method::Get, "/api/docs/<_..>", Page),
        Route::new(Method::Get, "/api/openapi.json", document),
    ]
}

/// Serves the document. All responses share its bytes.
#[derive(Clone)]
struct DocumentText(Bytes);

#[async_trait]
impl Handler for DocumentText {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        Outcome::from(request, self.clone())
    }
}

/// Serves the page and its files.
#[derive(Clone)]
struct Page;

#[async_trait]
impl Handler for Page {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        // The page loads its files by relative paths, so that its own path needs the slash.
        let Some(path) = request.uri().path().as_str().strip_prefix(PAGE) else {
            return Outcome::from(request, Redirect::found(PAGE));
        };
        let path = if path.is_empty() { "index.html" } else { path };
        Outcome::from(request, EmbeddedFile::find::<Files>(path))
    }
}

impl<'r> Responder<'r, 'static> for DocumentText {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build()
            .header(ContentType::JSON)
            .sized_body(self.0.len(), Cursor::new(self.0))
            .ok()
    }
}
