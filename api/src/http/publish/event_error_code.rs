//! The error code for an event that is not valid.

use crate::{codec::json::EventProblem, http::error::ErrorCode, stream::InvalidEvent};

/// The code for this problem.
pub(super) fn code_of(problem: &EventProblem) -> ErrorCode {
    match problem {
        EventProblem::Invalid(InvalidEvent::Reserved(_)) => ErrorCode::ReservedEvent,
        EventProblem::TooLarge { .. } => ErrorCode::TooLarge,
        EventProblem::Invalid(InvalidEvent::Name)
        | EventProblem::Shape(_)
        | EventProblem::UnknownMember(_) => ErrorCode::InvalidEvent,
    }
}
