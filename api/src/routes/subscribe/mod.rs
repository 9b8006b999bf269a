//! Following a stream, over server-sent events or WebSocket: what comes before the first byte is the same for both.

use std::time::Duration;

use crate::{
    auth::guard::Client,
    config::Settings,
    error::{ApiError, ErrorCode},
    event::{EventId, Status, StreamKey},
    feed::{Feed, Newcomer, Pace},
    metrics::{Refusal, Transport},
    routes::broker::Broker,
    store::Page,
};

pub mod sse;
pub mod ws;

impl Broker<'_> {
    /// Looks at the stream from the cursor on; the token must have been issued for it. Takes no slot.
    async fn look(&self, client: &Client, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, ApiError> {
        client.may_follow(key)?;
        let page = self.store.read(key, cursor).await?;
        client.may_open(key, &page.info)?;
        Ok(page)
    }

    /// Takes a slot and follows the stream from the page on, over this transport. Where the client holds something scarce, silence is broken after
    /// `probe` at the latest.
    async fn follow(&self, page: Page, resumes: bool, transport: Transport, probe: Option<Duration>) -> Result<Feed, ApiError> {
        let metrics = self.metrics.clients(transport);
        if self.lifecycle.is_closing() {
            metrics.refuse(Refusal::Shutdown);
            return Err(ApiError::new(ErrorCode::ShuttingDown, "The broker is stopping; connect to another node"));
        }
        let (newest, newcomer) = (page.info.last, Newcomer { key: page.key.clone(), address: self.address });
        let tail = self.store.tail(page);
        let Settings { heartbeat, client_timeout: idle, store_patience: patience, .. } = *self.settings;
        let heartbeat = probe.filter(|_| tail.is_scarce()).map_or(heartbeat, |probe| probe.min(heartbeat));
        let slot = self.slots.claim(newcomer, Pace { heartbeat, idle }, metrics).await;
        let slot = slot.map_err(|full| ApiError::new(ErrorCode::TooManyClients, full.to_string()))?;
        if resumes {
            metrics.resumes.inc();
        }
        Ok(Feed::new(tail, newest, slot, patience))
    }
}

/// Whether a client with this cursor has all there will ever be.
fn is_complete(page: &Page, cursor: Option<EventId>) -> bool {
    page.info.status != Status::Active && cursor == Some(page.info.last)
}
