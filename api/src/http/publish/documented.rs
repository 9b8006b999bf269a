//! Parameters that the routes for single events share, for the OpenAPI document.
//!
//! `producer.rs` and `unknown_members.rs` read them.

use utoipa::IntoParams;

/// The query of the NDJSON upload and of the WebSocket.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsParams {
    /// The stream's key
    pub key: String,
    /// The generation that the stream must have when the upload begins, as the broker gave it when
    /// the stream was created
    pub generation: Option<String>,
    /// The producer of the events: a name that no other producer uses, 1 to 64 of `A` to `Z`, `a`
    /// to `z`, `0` to `9`, `_`, `-`. With it, a caller can send events again after a broken
    /// connection: the broker skips those that the stream already has
    pub producer: Option<String>,
    /// How many events the producer had sent into this stream before the first of these. It needs
    /// a `producer`, and is 0 if it is absent. Lines or messages that are not events do not count
    #[param(maximum = 9_007_199_254_740_992_u64)]
    pub sequence: Option<u64>,
}

/// The query of each route that writes events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StrictParams {
    /// Refuse events with members other than `event` and `data`. Without it, the broker does not
    /// store such members, and names them in the response
    pub strict: Option<bool>,
}
