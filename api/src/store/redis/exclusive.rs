//! Exclusive delivery: a connection per client, in a loop of `XREAD BLOCK`.

use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{self, Value};
use futures::future::BoxFuture;
use rocket::async_trait;
use tokio::time::timeout;

use super::{
    RedisStore,
    connect::{Lease, LeaseError},
    decode::{self, Head},
    keys::Keys,
    primary::Links,
};
use crate::{
    event::{Entry, EventId, Part, Segment, Status, StreamKey},
    metrics::Operation,
    store::{Batch, Birth, PAGE_BYTES, PAGE_ENTRIES, Page, StoreError, Tail, TailError},
};

/// How long one `XREAD` blocks at the most. Finite, so that a stream that is no more is noticed.
const BLOCK_MS: u64 = 5_000;

/// How often in a row a wait may be sent to another node of a Cluster.
const REDIRECTIONS: u32 = 3;

/// Catch up from history, follow live, and catch up again whenever what comes does not follow what went before.
pub(super) struct ExclusiveTail {
    store: RedisStore,
    links: Links,
    key: StreamKey,
    keys: Arc<Keys>,
    birth: Birth,
    cursor: Option<EventId>,
    state: State,
    /// The last answer was an error: the next one is reported in any case.
    failed: bool,
    /// Bytes of an entry, on a moving average: what one `XREAD` may fetch is counted in entries, but must be bounded in bytes.
    entry_bytes: usize,
}

enum State {
    /// A page that is not yet handed on.
    Page(Page),
    CatchUp,
    Follow(Option<Lease>),
    /// A wait under way. It is kept here rather than in `next`, so that dropping the future of `next` does not leave a
    /// command pending on a connection that is used again.
    Waiting(BoxFuture<'static, Result<Live, StoreError>>),
}

/// What one `XREAD BLOCK` brought, and the connection back.
struct Live {
    lease: Lease,
    entries: Vec<Entry>,
    /// The stream's head as it was after the read: whoever has this birth mark now had it then, as none comes twice.
    head: Option<Head>,
}

impl ExclusiveTail {
    pub(super) fn new(store: RedisStore, page: Page) -> Self {
        let links = store.0.primary.links();
        let keys = Arc::new(Keys::new(&store.0.prefix, &page.key));
        Self {
            key: page.key.clone(),
            keys,
            birth: page.info.birth,
            cursor: page.cursor,
            state: State::Page(page),
            store,
            links,
            failed: false,
            entry_bytes: 256,
        }
    }

    /// One answer of the store; `None` where it was not asked. Cancel safe.
    async fn step(&mut self) -> Result<Option<Batch>, TailError> {
        match &mut self.state {
            State::Page(_) => match std::mem::replace(&mut self.state, State::CatchUp) {
                State::Page(page) => Ok(Some(self.take(page))),
                _ => Ok(None),
            },
            State::CatchUp => {
                let page = self.store.page(&self.key, self.cursor).await.map_err(|error| match error {
                    StoreError::NotFound => TailError::Gone,
                    error => TailError::Store(error),
                })?;
                if page.info.birth != self.birth {
                    return Err(TailError::Gone);
                }
                Ok(Some(self.take(page)))
            }
            State::Follow(lease) => {
                let lease = lease.take();
                self.state = State::Waiting(self.wait(lease));
                Ok(None)
            }
            State::Waiting(wait) => {
                let live = tokio::select! {
                    live = wait => live,
                    // Who waits on a server that is the primary no more may wait for ever. The cursor is as it was.
                    _ = self.links.changed() => {
                        self.state = State::CatchUp;
                        return Ok(None);
                    }
                };
                // After a failure the connection is tried anew, not history, which would answer and hide that it fails.
                self.state = State::Follow(None);
                let live = live.inspect_err(|_| self.store.0.metrics.redis.fail(Operation::Follow));
                self.follow(live.map_err(TailError::Store)?).map(Some)
            }
        }
    }

    /// Hands on a page of history.
    fn take(&mut self, page: Page) -> Batch {
        let end = page.is_end();
        self.state = if page.is_newest() { State::Follow(None) } else { State::CatchUp };
        self.cursor = page.cursor;
        Batch { missed: page.missed, parts: page.parts, end }
    }

    /// Hands on what came live, if it follows.
    fn follow(&mut self, live: Live) -> Result<Batch, TailError> {
        let head = live.head.filter(|head| head.birth == self.birth).ok_or(TailError::Gone)?;
        self.state = State::Follow(Some(live.lease));
        let follows = |id: EventId| self.cursor.is_some_and(|cursor| id.n == cursor.n + 1);
        let newest = match live.entries.first() {
            None => self.cursor,
            Some(first) if follows(first.id) => live.entries.last().map(|entry| entry.id),
            // Trimmed before it was read, or Redis lost what it had acknowledged: history knows which.
            Some(_) => None,
        };
        let Some(newest) = newest.filter(|&newest| newest <= head.last && (newest == head.last || !live.entries.is_empty())) else {
            self.state = State::CatchUp;
            return Ok(Batch::default());
        };
        let end = head.status != Status::Active && newest == head.last;
        self.cursor = Some(newest);
        if live.entries.is_empty() {
            return Ok(Batch { end, ..Batch::default() });
        }
        self.weigh(&live.entries);
        let part = Part::new(Arc::new(Segment::new(live.entries)), 0);
        Ok(Batch { missed: None, parts: vec![part], end })
    }

    fn weigh(&mut self, entries: &[Entry]) {
        let bytes: usize = entries.iter().map(Entry::weight).sum();
        self.entry_bytes = usize::midpoint(self.entry_bytes, bytes / entries.len().max(1)).max(1);
    }

    fn wait(&mut self, lease: Option<Lease>) -> BoxFuture<'static, Result<Live, StoreError>> {
        // A lease from before the change would be of the server from before.
        let is_old = self.links.has_changed().unwrap_or(false);
        let link = self.links.borrow_and_update().clone();
        let lease = lease.filter(|_| !is_old);
        let (patience, keys) = (self.store.0.timeout, Arc::clone(&self.keys));
        let cursor = self.cursor.map_or_else(|| "0-0".to_owned(), |cursor| cursor.to_string());
        // After a failure an answer is wanted at once, to know that Redis is back.
        let block_ms = if self.failed { 1 } else { BLOCK_MS };
        let count = (PAGE_BYTES / self.entry_bytes).clamp(8, PAGE_ENTRIES);
        Box::pin(async move {
            let link = link.ok_or_else(|| StoreError::Unavailable("no Sentinel has named a primary yet".to_owned()))?;
            let mut lease = match lease {
                Some(lease) => lease,
                None => Lease::take(&link, &keys.index).await?,
            };
            // What follows a blocking command in a pipeline runs when it is done: the head is read after the events.
            let mut pipeline = redis::pipe();
            pipeline.cmd("XREAD").arg("COUNT").arg(count).arg("BLOCK").arg(block_ms).arg("STREAMS").arg(&keys.events).arg(&cursor);
            pipeline.cmd("HMGET").arg(&keys.meta).arg(&["birth", "status", "last_ms", "next"]);
            let mut redirections = 0;
            let replies = loop {
                let answer = timeout(Duration::from_millis(BLOCK_MS) + patience, lease.run(&link, &keys.index, &pipeline)).await;
                let Ok(answer) = answer else {
                    link.forget(&keys.index);
                    return Err(StoreError::Unavailable("no answer to XREAD BLOCK".to_owned()));
                };
                match answer {
                    Ok(replies) => break replies,
                    Err(LeaseError::Elsewhere) if redirections < REDIRECTIONS => {
                        redirections += 1;
                        lease = Lease::take(&link, &keys.index).await?;
                    }
                    Err(LeaseError::Elsewhere) => return Err(StoreError::Unavailable("the nodes of the Cluster disagree".to_owned())),
                    Err(LeaseError::Store(error)) => return Err(error),
                }
            };
            let Ok([events, head]) = <[Value; 2]>::try_from(replies) else {
                return Err(StoreError::Unexpected("a reply too few or too many"));
            };
            Ok(Live { lease, entries: decode::xread(events)?, head: decode::head(head)? })
        })
    }
}

#[async_trait]
impl Tail for ExclusiveTail {
    fn is_scarce(&self) -> bool {
        true
    }

    async fn next(&mut self) -> Result<Batch, TailError> {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(batch)) if batch.is_empty() && !self.failed => {}
                Ok(Some(batch)) => {
                    self.failed = false;
                    return Ok(batch);
                }
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }
}
