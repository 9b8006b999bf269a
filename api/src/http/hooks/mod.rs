//! The hooks of a script at the routes of the broker. Without a script these guards are empty, and
//! cost nothing.

mod publish;
mod request_view;
mod subscribe;

pub(super) use self::{
    publish::{HookRefusal, PublishHook},
    subscribe::SubscribeHook,
};

use super::error::{ApiError, ErrorCode};

/// The error of a request that a hook failed. The log says why.
pub(super) fn script_failed() -> ApiError {
    ApiError::new(
        ErrorCode::ScriptFailed,
        "The broker's script failed, so that it did not decide; try again",
    )
}
