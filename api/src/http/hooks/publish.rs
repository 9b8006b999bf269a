//! The hook `publish`: for each event of a producer, before it is stored.

use std::{convert::Infallible, sync::Arc};

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};
use serde_json::{Value, json};

use super::{
    request_view::{Side, view},
    script_failed,
};
use crate::{
    codec::json::{checked_event, message_of},
    hooks::{Hook, SharedHooks},
    http::error::{ApiError, ErrorCode},
    stream::{NewEvent, StreamKey},
};

/// The hook, and the request of the producer. Cheap to clone.
#[derive(Clone)]
pub struct PublishHook(Option<Arc<(SharedHooks, Value)>>);

/// Why an event is not to be stored.
#[derive(Debug)]
pub(in crate::http) enum HookRefusal {
    /// The script refuses it. Others may be stored.
    Refused(ApiError),
    /// The hook failed, so that nothing was decided.
    Failed(ApiError),
}

impl From<HookRefusal> for ApiError {
    fn from(refusal: HookRefusal) -> Self {
        match refusal {
            HookRefusal::Refused(error) | HookRefusal::Failed(error) => error,
        }
    }
}

impl PublishHook {
    /// The event as the script wants it stored, with at most `limit` bytes.
    pub(in crate::http) async fn apply(
        &self,
        key: &StreamKey,
        event: NewEvent,
        limit: usize,
    ) -> Result<NewEvent, HookRefusal> {
        let Some((hooks, request)) = self.0.as_deref() else {
            return Ok(event);
        };
        if !hooks.defines(Hook::Publish) {
            return Ok(event);
        }
        let mut message = json!({ "event": event.name() });
        if let Some(data) = event.data() {
            message["data"] = data.into();
        }
        let publication = json!({ "req": request, "key": key.as_str(), "msg": message });
        let returned = hooks.publish(publication).await;
        // The engine has logged why.
        let returned = returned.map_err(|_| HookRefusal::Failed(script_failed()))?;
        let Some(returned) = returned else {
            return Err(HookRefusal::Refused(ApiError::new(
                ErrorCode::RefusedByScript,
                "The broker's script refuses the event",
            )));
        };
        let event = message_of(returned).and_then(|(name, data)| checked_event(name, data, limit));
        event.map_err(|error| {
            tracing::warn!(%error, "the hook publish returned no event");
            HookRefusal::Failed(script_failed())
        })
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for PublishHook {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        let hooks = request.rocket().state::<SharedHooks>();
        Outcome::Success(Self(hooks.map(|hooks| {
            let hooks = SharedHooks::clone(hooks);
            Arc::new((hooks, view(request, Side::Publisher)))
        })))
    }
}
