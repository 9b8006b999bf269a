//! `GET /ready`: whether the broker can serve requests.

use rocket::{State, get};

use crate::{
    http::error::{ApiError, ErrorBody, ErrorCode},
    lifecycle::Lifecycle,
    store::{SharedStore, StoreError},
};

/// Reports that the store answers and takes writes, that this node receives what is written, and
/// that the broker is not stopping.
#[utoipa::path(
    operation_id = "ready",
    context_path = "/api",
    tag = "health",
    responses(
        (
            status = 200,
            description = "The broker can serve requests. Warnings for the operator may follow \
                `OK`, one per line",
            body = String,
            content_type = "text/plain",
            example = "OK"
        ),
        (
            status = 503,
            description = "`store-unavailable`: the store does not answer within a second, does \
                not take writes, or this node does not receive what is written. `shutting-down`: \
                the broker stops",
            body = ErrorBody<'static>
        ),
    )
)]
#[get("/ready")]
pub async fn ready(
    store: &State<SharedStore>,
    lifecycle: &State<Lifecycle>,
) -> Result<String, ApiError> {
    if lifecycle.is_closing() {
        return Err(ApiError::new(
            ErrorCode::ShuttingDown,
            "The broker is stopping",
        ));
    }
    let warnings = store.ready().await.map_err(|error| match error {
        // The store has logged it.
        StoreError::Refused { fault, .. } => {
            ApiError::new(ErrorCode::StoreUnavailable, fault.to_string())
        }
        error => error.into(),
    })?;
    Ok(std::iter::once("OK".to_owned())
        .chain(
            warnings
                .into_iter()
                .map(|warning| format!("\nWarning: {warning}")),
        )
        .collect())
}
