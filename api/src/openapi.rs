//! The OpenAPI document, made from the handlers' own attributes, and the page that shows it.

use rocket::Route;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{error::ErrorBody, routes};

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(title = "tinistreamer", description = "A stateless HTTP streaming broker on Redis Streams: push events, follow them live over SSE, WebSocket, NDJSON or long polling.", license(name = "MIT", identifier = "MIT")),
    servers((url = "/", description = "This broker")),
    tags(
        (name = "streams", description = "For backends: create, look at and end streams"),
        (name = "ingestion", description = "For backends: write events"),
        (name = "clients", description = "For browsers and apps: follow streams"),
        (name = "connections", description = "For operators: who is connected"),
        (name = "health", description = "For operators")
    ),
    paths(
        routes::streams::list, routes::streams::access::create, routes::streams::access::issue_token, routes::streams::info, routes::streams::events::events,
        routes::streams::end, routes::streams::cancel,
        routes::ingest::batch::add, routes::ingest::ndjson::add, routes::ingest::websocket::add,
        routes::subscribe::sse::follow, routes::subscribe::ws::follow, routes::subscribe::ndjson::follow, routes::subscribe::poll::poll,
        routes::clients::list, routes::clients::disconnect,
        routes::health::health, routes::health::ready, routes::health::info,
    ),
    components(schemas(ErrorBody<'static>)),
    modifiers(&SecuritySchemes),
)]
struct Document;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Components::default);
        let api_key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-API-KEY", "A key from STREAMER_API_KEY")));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A client token")).build();
        let query =
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description("token", "A client token, where no header can be set")));
        components.add_security_scheme("api_key", api_key);
        components.add_security_scheme("client_token", SecurityScheme::Http(bearer));
        components.add_security_scheme("client_token_query", query);
    }
}

/// The document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document as JSON text, as it is kept in `spec/openapi.json`.
///
/// Errors: it can't be written as JSON, which the tests rule out.
pub fn document_json() -> Result<String, serde_json::Error> {
    document().to_pretty_json().map(|json| json + "\n")
}

/// `/api/openapi.json`, and a page at `/api/docs/` that shows it and loads nothing from other hosts.
#[must_use]
pub fn routes() -> Vec<Route> {
    // Without this the page asks a third party to judge the document.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/api/docs/<_..>").url("/api/openapi.json", document()).config(config).into()
}
