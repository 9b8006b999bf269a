//! `DELETE /clients/<id>`: disconnects one subscriber of this node.

use rocket::{State, delete, serde::json::Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::Unauthorized,
        guards::ApiKeyHolder,
    },
    session::Registry,
};

/// The result of a disconnect.
#[derive(Serialize, ToSchema)]
pub struct Disconnected {
    /// `disconnected`.
    #[schema(example = "disconnected")]
    status: &'static str,
}

/// Disconnects a subscriber of this node. It may reconnect at once if its token is still valid.
#[utoipa::path(
    operation_id = "disconnect_client",
    context_path = "/api",
    tag = "connections",
    security(("api_key" = [])),
    params(("id" = String, Path, description = "The subscriber's id, from the list")),
    responses(
        (
            status = 200,
            description = "The broker disconnected the subscriber: server-sent events end, and a \
                WebSocket is closed with 1008",
            body = Disconnected
        ),
        Unauthorized,
        (
            status = 404,
            description = "`client-not-found`: no subscriber of this node has this id",
            body = ErrorBody<'static>
        ),
    )
)]
#[delete("/clients/<id>")]
pub fn disconnect_client(
    _caller: ApiKeyHolder,
    id: &str,
    registry: &State<Registry>,
) -> Result<Json<Disconnected>, ApiError> {
    if id.parse().is_ok_and(|id| registry.disconnect(id)) {
        Ok(Json(Disconnected {
            status: "disconnected",
        }))
    } else {
        Err(ApiError::new(
            ErrorCode::ClientNotFound,
            "No subscriber of this node has this id",
        ))
    }
}
