//! `GET /health`: whether the process is alive.

use rocket::get;

/// Reports that the process is alive. It does not ask the store. So nobody restarts healthy brokers
/// because Redis fails.
#[utoipa::path(
    operation_id = "health",
    context_path = "/api",
    tag = "health",
    responses((
        status = 200,
        description = "The process is alive",
        body = String,
        content_type = "text/plain",
        example = "OK"
    ))
)]
#[get("/health")]
#[must_use]
pub fn health() -> &'static str {
    "OK"
}
