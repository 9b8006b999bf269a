//! The hook `subscribe`: for each new subscriber, before it is admitted.

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
    auth::claims::{Claims, Scope},
    hooks::{SharedHooks, SharedSubscriber},
    http::error::{ApiError, ErrorCode},
    stream::StreamKey,
};

/// The hook, and the request of the subscriber. Cheap to clone.
#[derive(Clone)]
pub struct SubscribeHook(Option<Arc<(SharedHooks, Value)>>);

impl SubscribeHook {
    /// Asks the script whether it accepts a subscriber of these streams. None without a script.
    ///
    /// Errors: `refused-by-script`, `script-failed`.
    pub(in crate::http) async fn ask(
        &self,
        keys: &[StreamKey],
        claims: &Claims,
        name: Option<&str>,
        tags: &[Box<str>],
    ) -> Result<Option<SharedSubscriber>, ApiError> {
        let Some((hooks, request)) = self.0.as_deref() else {
            return Ok(None);
        };
        let keys: Vec<_> = keys.iter().map(StreamKey::as_str).collect();
        let mut subscriber = json!({
            "req": request,
            "keys": keys,
            "claims": claims_table(claims),
            "tags": tags,
        });
        if let [key] = keys[..] {
            subscriber["key"] = key.into();
        }
        if let Some(name) = name {
            subscriber["client_name"] = name.into();
        }
        // The engine has logged why.
        let accepted = hooks
            .subscribe(subscriber)
            .await
            .map_err(|_| script_failed())?;
        accepted.map(Some).ok_or_else(|| {
            let message = "The broker's script refuses the subscriber";
            ApiError::new(ErrorCode::RefusedByScript, message)
        })
    }
}

/// What the token says.
fn claims_table(claims: &Claims) -> Value {
    let mut table = json!({
        "expires_at": claims.expires_at,
        "read": claims.permissions.read,
        "signal": claims.permissions.signal,
    });
    if let Some(subject) = &claims.subject {
        table["subject"] = subject.as_str().into();
    }
    match &claims.scope {
        Scope::Streams(streams) => {
            table["keys"] = streams.keys().map(StreamKey::as_str).collect();
        }
        Scope::Prefix(prefix) => table["prefix"] = prefix.as_str().into(),
    }
    table
}

#[async_trait]
impl<'r> FromRequest<'r> for SubscribeHook {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        let hooks = request.rocket().state::<SharedHooks>();
        Outcome::Success(Self(hooks.map(|hooks| {
            let hooks = SharedHooks::clone(hooks);
            Arc::new((hooks, view(request, Side::Subscriber)))
        })))
    }
}
