//! The OpenAPI document.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::constraints::Constraints;
use crate::http::{admin, error::ErrorBody, publish, signals, streams, subscribe};

/// The OpenAPI document, collected from the attributes of the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "tinistreamer",
        description = "A stateless HTTP streaming broker on Redis Streams. Backends write events \
            into streams. Subscribers follow the streams live over SSE, WebSocket, NDJSON or long \
            polling. A string of the format `byte-limited` has at most `maxLength` bytes of UTF-8.",
        license(name = "MIT", identifier = "MIT")
    ),
    servers((url = "/", description = "This broker")),
    tags(
        (name = "streams", description = "For backends: create, read and finish streams"),
        (name = "ingestion", description = "For backends: write events"),
        (name = "clients", description = "For browsers and apps: follow streams"),
        (name = "connections", description = "For operators: connected subscribers"),
        (name = "health", description = "For operators: health, version and load")
    ),
    paths(
        streams::list::list,
        streams::create::create,
        streams::issue_token::issue_token,
        streams::info::info,
        streams::events::events,
        streams::finish::end,
        streams::finish::cancel,
        streams::finish::fail,
        streams::renew::renew,
        signals::read::read,
        publish::batch::add,
        publish::ndjson::add,
        publish::websocket::add,
        subscribe::sse::follow,
        subscribe::websocket::follow,
        subscribe::ndjson::follow,
        subscribe::poll::poll,
        signals::send::send,
        admin::list_clients::list_clients,
        admin::disconnect_client::disconnect_client,
        admin::health::health,
        admin::ready::ready,
        admin::info::info,
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
            "An API key, one of `STREAMER_API_KEY`",
        )));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token"))
            .build();
        let query = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::with_description(
            "token",
            "A token, for callers that can't set a header",
        )));
        components.add_security_scheme("api_key", api_key);
        components.add_security_scheme("client_token", SecurityScheme::Http(bearer));
        components.add_security_scheme("client_token_query", query);
    }
}

/// The document as JSON text, the same as in `spec/openapi.json`.
///
/// Errors: the document can't be written as JSON. The tests rule that out.
pub fn document_json() -> Result<String, serde_json::Error> {
    let json = Document::openapi().to_pretty_json()?;
    Ok(json.lines().map(unwrap_text).collect())
}

/// Joins the lines of each paragraph of a description. Descriptions are doc comments, and their
/// line breaks mean nothing in the document.
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
