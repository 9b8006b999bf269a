//! Exclusive delivery: a connection per client, in a loop of `XREAD BLOCK` over all of the client's
//! streams.

use std::collections::VecDeque;

use async_trait::async_trait;
use futures::future::{BoxFuture, pending};

use super::{
    read::{BlockingRead, ReadResult, StreamReply},
    stream::{ExclusiveStream, State},
};
use crate::{
    store::{
        Batch, Gone, News, Page, StoreError, Tails,
        redis::{RedisStore, connections::Lease, primary::PrimaryWatch},
    },
    telemetry::metrics::Operation,
};

/// Catch up from history, follow live, and catch up again whenever what comes does not follow what
/// went before.
pub(in super::super) struct ExclusiveTails {
    store: RedisStore,
    primaries: PrimaryWatch,
    added: usize,
    streams: Vec<ExclusiveStream>,
    lease: Option<Lease>,
    /// A wait under way. It is kept here rather than in `next`, so that dropping the future of
    /// `next` does not leave a command pending on a connection that is used again.
    wait: Option<BoxFuture<'static, Result<ReadResult, StoreError>>>,
    /// What one wait brought, to be told stream by stream.
    ready: VecDeque<News>,
    /// The last answer was an error: the next one is reported in any case.
    failed: bool,
}

impl ExclusiveTails {
    pub(in super::super) fn new(store: RedisStore) -> Self {
        let primaries = store.0.primary.primaries();
        let (streams, ready) = (Vec::new(), VecDeque::new());
        Self {
            store,
            primaries,
            added: 0,
            streams,
            lease: None,
            wait: None,
            ready,
            failed: false,
        }
    }

    /// One answer of the store; `None` where it was not asked. Cancel safe.
    async fn step(&mut self) -> Result<Option<News>, StoreError> {
        if let Some(news) = self.ready.pop_front() {
            return Ok(Some(news));
        }
        if let Some(stream) = self
            .streams
            .iter_mut()
            .find(|stream| !matches!(stream.state, State::Live))
        {
            let page = match std::mem::replace(&mut stream.state, State::CatchUp) {
                State::Page(page) => Ok(*page),
                State::CatchUp | State::Live => self.store.page(&stream.key, stream.cursor).await,
            };
            let told = match page {
                Ok(page) if page.info.generation == stream.generation => Ok(stream.take(page)),
                Ok(_) | Err(StoreError::NotFound) => Err(Gone),
                Err(error) => return Err(error),
            };
            let news = News {
                stream: stream.number,
                told,
            };
            return Ok(Some(self.tell(news)));
        }
        if self.wait.is_none() {
            if self.streams.is_empty() {
                return pending().await;
            }
            self.begin_to_wait();
        }
        let Some(wait) = &mut self.wait else {
            return Ok(None);
        };
        let live = tokio::select! {
            live = wait => live,
            // Who waits on a server that is the primary no more may wait for ever. The cursors are
            // as they were.
            _ = self.primaries.changed() => {
                self.wait = None;
                self.streams.iter_mut().for_each(|stream| stream.state = State::CatchUp);
                return Ok(None);
            }
        };
        // After a failure the connection is tried anew, not history, which would answer and hide
        // that it fails.
        self.wait = None;
        let live = live.inspect_err(|_| self.store.0.metrics.redis.fail(Operation::Follow))?;
        self.lease = Some(live.lease);
        let mut ready = VecDeque::new();
        for StreamReply {
            number,
            entries,
            head,
        } in live.streams
        {
            // One that was let go meanwhile is not told of.
            let Some(stream) = self
                .streams
                .iter_mut()
                .find(|stream| stream.number == number)
            else {
                continue;
            };
            let told = stream.follow(entries, head);
            if told.as_ref().is_ok_and(Batch::is_empty) && !ready.is_empty() {
                continue;
            }
            ready.push_back(News {
                stream: number,
                told,
            });
        }
        for news in ready {
            let news = self.tell(news);
            self.ready.push_back(news);
        }
        Ok(self.ready.pop_front())
    }

    /// Lets a stream go of which this is the last news.
    fn tell(&mut self, news: News) -> News {
        if news.told.as_ref().map_or(true, |batch| batch.end) {
            self.streams.retain(|stream| stream.number != news.stream);
        }
        news
    }

    fn begin_to_wait(&mut self) {
        // A lease from before the change would be of the server from before.
        let is_old = self.primaries.has_changed().unwrap_or(false);
        let link = self.primaries.borrow_and_update().clone();
        let lease = self.lease.take().filter(|_| !is_old);
        let wait = BlockingRead {
            link,
            lease,
            patience: self.store.0.timeout,
            is_probe: self.failed,
        };
        self.wait = Some(Box::pin(
            wait.run(self.streams.iter().map(ExclusiveStream::position).collect()),
        ));
    }
}

#[async_trait]
impl Tails for ExclusiveTails {
    fn is_scarce(&self) -> bool {
        true
    }

    fn add(&mut self, page: Page) {
        self.streams
            .push(ExclusiveStream::new(&self.store, self.added, page));
        self.added += 1;
        // A wait without the new stream is given up, and its connection with it.
        self.wait = None;
    }

    fn remove(&mut self, stream: usize) {
        self.streams.retain(|followed| followed.number != stream);
        self.ready.retain(|news| news.stream != stream);
    }

    fn is_failing(&self) -> bool {
        self.failed
    }

    async fn next(&mut self) -> Result<News, StoreError> {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(News {
                    told: Ok(batch), ..
                })) if batch.is_empty() && !self.failed => {}
                Ok(Some(news)) => {
                    self.failed = false;
                    return Ok(news);
                }
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }
}
