//! A subscriber of the script.

use std::{sync::Arc, time::Duration};

use rocket::async_trait;
use serde_json::Value;

use super::{
    call::{Call, Member},
    caller::Caller,
};
use crate::hooks::{Hook, HookError, ScriptedSubscriber};

/// A subscriber that the script has accepted.
pub(super) struct Subscriber {
    pub(super) caller: Arc<Caller>,
    pub(super) member: Arc<Member>,
}

#[async_trait]
impl ScriptedSubscriber for Subscriber {
    fn has_message_hook(&self) -> bool {
        self.caller.defines(Hook::Message)
    }

    async fn catchup(&self, last_event_id: &str) -> Result<Vec<Value>, HookError> {
        if !self.caller.defines(Hook::Catchup) {
            return Ok(Vec::new());
        }
        let call = Call::Catchup(Arc::clone(&self.member), last_event_id.to_owned());
        match self.caller.call(Hook::Catchup, call).await? {
            Some(Value::Array(messages)) => Ok(messages),
            Some(Value::Object(members)) if !members.is_empty() => Err(HookError {
                hook: Hook::Catchup,
                message: "it returned a table that is no list".to_owned(),
            }),
            _ => Ok(Vec::new()),
        }
    }

    async fn message(&self, publication: Value) -> Result<Option<Value>, HookError> {
        let call = Call::Message(Arc::clone(&self.member), publication);
        self.caller.call(Hook::Message, call).await
    }

    async fn timeout(&self, elapsed: Duration) -> Result<Option<Duration>, HookError> {
        if !self.caller.defines(Hook::Timeout) {
            return Ok(None);
        }
        let call = Call::Timeout(Arc::clone(&self.member), elapsed);
        let delay = self.caller.call(Hook::Timeout, call).await?;
        Ok(delay
            .and_then(|delay| delay.as_u64())
            .map(Duration::from_millis))
    }
}
