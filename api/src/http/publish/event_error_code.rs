//! The error code for text that is not an event.

use crate::{codec::json::EventProblem, http::error::ErrorCode, stream::InvalidEvent};

/// The code for something that is not an event.
pub(super) fn code_of(problem: &EventProblem) -> ErrorCode {
    match problem {
        EventProblem::Invalid(InvalidEvent::Reserved(_)) => ErrorCode::ReservedEvent,
        EventProblem::TooLarge { .. } => ErrorCode::TooLarge,
        EventProblem::Invalid(InvalidEvent::Name)
        | EventProblem::Shape(_)
        | EventProblem::UnknownMember(_) => ErrorCode::InvalidEvent,
    }
}
