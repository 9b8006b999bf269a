//! Error responses that several operations share, for the OpenAPI document.
//!
//! The doc comment of a type is the description of its response. It names the codes of the status.

use utoipa::IntoResponses;

use super::error::ErrorBody;

/// `unauthorized`
#[derive(IntoResponses)]
#[response(status = 401)]
pub struct Unauthorized(pub ErrorBody<'static>);

/// `missing-parameter`, `invalid-key`
#[derive(IntoResponses)]
#[response(status = 400)]
pub struct InvalidKeyParameter(pub ErrorBody<'static>);

/// `no-active-stream`
#[derive(IntoResponses)]
#[response(status = 404)]
pub struct NoActiveStream(pub ErrorBody<'static>);

/// `stale-generation`: the stream does not have the generation that the request names
#[derive(IntoResponses)]
#[response(status = 409)]
pub struct StaleGeneration(pub ErrorBody<'static>);

/// `stream-not-found`
#[derive(IntoResponses)]
#[response(status = 404)]
pub struct StreamNotFound(pub ErrorBody<'static>);

/// `refused-by-script`: the broker's script refuses it
#[derive(IntoResponses)]
#[response(status = 403)]
pub struct RefusedByScript(pub ErrorBody<'static>);

/// `request-timeout`: the body did not arrive within `STREAMER_BODY_TIMEOUT`
#[derive(IntoResponses)]
#[response(status = 408)]
pub struct RequestTimeout(pub ErrorBody<'static>);

/// `too-large`
#[derive(IntoResponses)]
#[response(status = 413)]
pub struct TooLarge(pub ErrorBody<'static>);

/// `unsupported-media-type`: the body is compressed, or is not UTF-8
#[derive(IntoResponses)]
#[response(status = 415)]
pub struct UnsupportedMediaType(pub ErrorBody<'static>);

/// `upgrade-required`: the request is not a WebSocket handshake
#[derive(IntoResponses)]
#[response(status = 426)]
pub struct UpgradeRequired(pub ErrorBody<'static>);

/// `too-many-clients`: the broker already sends too many large responses
#[derive(IntoResponses)]
#[response(status = 429)]
pub struct TooManyLargeResponses(pub ErrorBody<'static>);

/// `store-unavailable`
#[derive(IntoResponses)]
#[response(status = 503)]
pub struct StoreUnavailable(pub ErrorBody<'static>);
