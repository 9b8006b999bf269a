//! The OpenAPI document, made from the handlers' own attributes, and the page that shows it.

use std::{borrow::Cow, io::Cursor, sync::Arc};

use bytes::Bytes;
use rocket::{
    Data, Request, Response, Route, async_trait,
    http::{ContentType, Method},
    response::{self, Redirect, Responder},
    route::{Handler, Outcome},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerFile};

use self::constraints::Constraints;
use super::{
    admin,
    error::{ApiError, ErrorBody, ErrorCode},
    publish, streams, subscribe,
};
use crate::codec::json::compact;

mod constraints;

/// Where the page is.
const PAGE: &str = "/api/docs/";

/// Where the document is.
const DOCUMENT: &str = "/api/openapi.json";

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(title = "tinistreamer", description = "A stateless HTTP streaming broker on Redis Streams: push events, follow them live over SSE, WebSocket, NDJSON or long polling. In a string of the format `byte-limited`, `maxLength` is also the most bytes of UTF-8.", license(name = "MIT", identifier = "MIT")),
    servers((url = "/", description = "This broker")),
    tags(
        (name = "streams", description = "For backends: create, look at and end streams"),
        (name = "ingestion", description = "For backends: write events"),
        (name = "clients", description = "For browsers and apps: follow streams"),
        (name = "connections", description = "For operators: who is connected"),
        (name = "health", description = "For operators")
    ),
    paths(
        streams::manage::list, streams::access::create, streams::access::issue_token, streams::manage::info, streams::events::events,
        streams::manage::end, streams::manage::cancel,
        publish::batch::add, publish::ndjson::add, publish::websocket::add,
        subscribe::sse::follow, subscribe::websocket::follow, subscribe::ndjson::follow, subscribe::poll::poll,
        admin::clients::list, admin::clients::disconnect,
        admin::health::health, admin::health::ready, admin::health::info,
    ),
    components(schemas(ErrorBody<'static>)),
    modifiers(&SecuritySchemes, &Constraints),
)]
struct Document;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Components::default);
        let api_key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-API-KEY",
            "A key from STREAMER_API_KEY",
        )));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A client token"))
            .build();
        let query = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description(
            "token",
            "A client token, where no header can be set",
        )));
        components.add_security_scheme("api_key", api_key);
        components.add_security_scheme("client_token", SecurityScheme::Http(bearer));
        components.add_security_scheme("client_token_query", query);
    }
}

/// The document as JSON text, as it is kept in `spec/openapi.json`.
///
/// Errors: it can't be written as JSON, which the tests rule out.
pub fn document_json() -> Result<String, serde_json::Error> {
    let json = Document::openapi().to_pretty_json()?;
    Ok(json.lines().map(unwrap_text).collect())
}

/// Joins the lines of each paragraph where a line of the document is a description. It is a doc
/// comment, and where a doc comment wraps says nothing to a reader of the document.
fn unwrap_text(line: &str) -> String {
    let is_text = ["\"description\": ", "\"summary\": "]
        .iter()
        .any(|member| line.trim_start().starts_with(member));
    if !is_text {
        return format!("{line}\n");
    }
    let paragraphs = line.split(r"\n\n").map(|text| text.replace(r"\n", " "));
    paragraphs.collect::<Vec<_>>().join(r"\n\n") + "\n"
}

/// `/api/openapi.json`, and a page at `/api/docs/` that shows it and loads nothing from other
/// hosts.
///
/// The page's own routes for Rocket would bring Rocket's default features back, and with them
/// HTTP/2 without limits.
#[must_use]
pub fn routes() -> Vec<Route> {
    // Without this the page asks a third party to judge the document.
    let config = Config::from(DOCUMENT).validator_url("none");
    // The document always serializes: a test compares what is served with what is kept.
    let json = compact(&document_json().unwrap_or_default());
    vec![
        Route::new(Method::Get, "/api/docs/<_..>", Page(Arc::new(config))),
        Route::new(Method::Get, DOCUMENT, DocumentText(json.into())),
    ]
}

/// Serves the document: all answers share its bytes.
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
        // The page names its files relative to itself, so that it needs the slash.
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
                // All files are part of the binary. Only the one of a few lines that names the
                // document is made for each answer.
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
                tracing::error!(%error, "the page of the OpenAPI document can't be shown");
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
