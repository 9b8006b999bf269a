//! A subscription whose events go through a script.

use std::time::Duration;

use super::{scripted::Scripted, subscription::Subscription};
use crate::{hooks::SharedSubscriber, stream::StreamKey};

impl Subscription {
    /// Lets the script see each event first.
    #[must_use]
    pub fn with_script(mut self, scripted: Option<Scripted>) -> Self {
        self.scripted = scripted.map(Box::new);
        self
    }

    /// From now on the script knows the subscriber of this stream as this one.
    pub fn add_scripted(&mut self, key: StreamKey, subscriber: SharedSubscriber) {
        if let Some(scripted) = &mut self.scripted {
            scripted.add(key, subscriber);
        }
    }

    /// Whether a script may change events. Then no answer is good for anybody else.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        let scripted = self.scripted.as_ref();
        scripted.is_some_and(|scripted| scripted.has_message_hook())
    }

    /// The delay before a reconnect that the script asks for, after the subscriber timed out.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.scripted.as_ref()?.retry()
    }

    /// Lets the script know that the subscriber's time is over. Cancel safe.
    pub(super) async fn time_out(&mut self) {
        if let Some(scripted) = &mut self.scripted {
            scripted.time_out().await;
        }
    }
}
