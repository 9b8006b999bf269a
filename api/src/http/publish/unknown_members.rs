//! Members of an event that the broker does not know, such as `id` and `comment` of server-sent
//! events. The broker does not store them, and names them in the response. With `?strict=true` it
//! refuses an event that has one.

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};

use crate::{
    bounded::bounded,
    codec::json::{EventProblem, MAX_UNKNOWN, UncheckedEvent},
    http::{
        error::{ApiError, ErrorCode},
        query::Query,
    },
    stream::NewEvent,
};

/// The most bytes of a name that a response shows.
const MAX_NAME_BYTES: usize = 64;

/// The query parameter `strict`: true refuses unknown members.
#[derive(Clone, Copy)]
pub struct Strict(bool);

/// Checks events, and collects the names of ignored members: each once, up to [`MAX_UNKNOWN`].
pub(super) struct MemberCheck {
    strict: bool,
    ignored: Vec<String>,
}

impl MemberCheck {
    pub(super) fn new(Strict(strict): Strict) -> Self {
        Self {
            strict,
            ignored: Vec::new(),
        }
    }

    /// Checks an event. Its name and data may have at most `limit` bytes together.
    pub(super) fn check(
        &mut self,
        mut event: UncheckedEvent<'_>,
        limit: usize,
    ) -> Result<NewEvent, EventProblem> {
        let unknown = event.take_unknown();
        let shown = |name: &str| bounded(name.into(), MAX_NAME_BYTES).into_owned();
        if let Some(name) = unknown.first().filter(|_| self.strict) {
            return Err(EventProblem::UnknownMember(shown(name).into()));
        }
        let event = event.check(limit)?;
        for name in unknown {
            let room = self.ignored.len() < MAX_UNKNOWN;
            let name = shown(&name);
            if room && !self.ignored.contains(&name) {
                self.ignored.push(name);
            }
        }
        Ok(event)
    }

    /// Takes the names of the ignored members, for a response.
    pub(super) fn take_ignored(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ignored)
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for Strict {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        match Query::of(request).text("strict") {
            Ok(None | Some("false")) => Outcome::Success(Self(false)),
            Ok(Some("true")) => Outcome::Success(Self(true)),
            Ok(Some(other)) => ApiError::new(
                ErrorCode::InvalidParameter,
                format!("strict is true or false, not {other:?}"),
            )
            .refuse(request),
            Err(error) => error.refuse(request),
        }
    }
}
