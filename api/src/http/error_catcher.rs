//! The catcher: error responses for requests that no handler answered.

use rocket::{
    Request, catch,
    http::Status,
    response::{self, Responder},
};

use super::{
    error::{ApiError, ErrorCode, Refusal},
    methods::{allowed_methods, has_unknown_method},
};

/// Responds to every request that failed outside of a handler: unknown routes, refusals of guards,
/// panics.
#[catch(default)]
pub(super) fn catcher(status: Status, request: &Request<'_>) -> (Status, CaughtError) {
    if let Refusal(Some(error)) = request.local_cache(|| Refusal(None)) {
        return (
            error.code.status(),
            CaughtError {
                error: error.clone(),
                allow: None,
            },
        );
    }
    let unknown_method = status == Status::BadRequest && has_unknown_method(request);
    let allow = (status == Status::NotFound || unknown_method)
        .then(|| allowed_methods(request))
        .flatten();
    let status = if unknown_method {
        Status::NotFound
    } else {
        status
    };
    let status = if allow.is_some() {
        Status::MethodNotAllowed
    } else {
        status
    };
    let (code, message) = ErrorCode::of_status(status);
    (
        status,
        CaughtError {
            error: ApiError::new(code, message),
            allow,
        },
    )
}

/// The response of the catcher.
pub(super) struct CaughtError {
    error: ApiError,
    allow: Option<String>,
}

impl<'r> Responder<'r, 'static> for CaughtError {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = self.error.respond_to(request)?;
        if let Some(allow) = self.allow {
            response.set_raw_header("Allow", allow);
        }
        Ok(response)
    }
}
