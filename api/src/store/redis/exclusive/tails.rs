//! The tails of one subscriber in exclusive delivery: a Redis connection of its own, in a loop of
//! `XREAD BLOCK` over all of its streams.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use futures::future::{BoxFuture, pending};

use super::{
    connection::ExclusiveConnection,
    read::{BlockingRead, ReadResult, StreamReply},
    stream::{ExclusiveStream, State},
};
use crate::{
    store::{
        Page, StoreError, StreamUpdate, TailSet,
        redis::{primary::PrimaryWatch, reader::RedisReader},
    },
    stream::SharedPosition,
    telemetry::metrics::Operation,
};

/// Reads history, then waits for live entries. It reads history again whenever live entries do not
/// follow the position.
pub(in super::super) struct ExclusiveTails {
    reader: Arc<RedisReader>,
    primaries: PrimaryWatch,
    added: usize,
    streams: Vec<ExclusiveStream>,
    connection: Option<ExclusiveConnection>,
    /// The read that is under way. It is kept here and not in `next`: if the future of `next` is
    /// dropped, no command is left pending on a connection that is used again.
    read: Option<BoxFuture<'static, Result<ReadResult, StoreError>>>,
    /// Updates of one read, to be returned one by one.
    ready: VecDeque<(usize, StreamUpdate)>,
    /// The last answer was an error, so that the next one is returned in any case.
    has_failed: bool,
}

impl ExclusiveTails {
    pub(in super::super) fn new(reader: Arc<RedisReader>) -> Self {
        let primaries = reader.primary.watch();
        Self {
            reader,
            primaries,
            added: 0,
            streams: Vec::new(),
            connection: None,
            read: None,
            ready: VecDeque::new(),
            has_failed: false,
        }
    }

    /// One answer of the store; none where the caller has to call again. Cancel safe.
    async fn step(&mut self) -> Result<Option<(usize, StreamUpdate)>, StoreError> {
        if let Some(update) = self.ready.pop_front() {
            return Ok(Some(update));
        }
        let behind = |stream: &&mut ExclusiveStream| !matches!(stream.state, State::Live);
        if let Some(stream) = self.streams.iter_mut().find(behind) {
            let page = match std::mem::replace(&mut stream.state, State::CatchUp) {
                State::Page(page) => Ok(*page),
                State::CatchUp | State::Live => {
                    self.reader.page(&stream.key, stream.cursor()).await
                }
            };
            let update = match page {
                Ok(page) if page.info.generation == stream.generation => stream.take_page(page),
                Ok(_) | Err(StoreError::NotFound) => StreamUpdate::Deleted,
                Err(error) => return Err(error),
            };
            let number = stream.number;
            self.remove_if_over(number, &update);
            return Ok(Some((number, update)));
        }
        if self.read.is_none() {
            if self.streams.is_empty() {
                return pending().await;
            }
            self.start_read();
        }
        let Some(read) = &mut self.read else {
            return Ok(None);
        };
        let result = tokio::select! {
            biased;
            result = read => result,
            // A read on a server that is no longer the primary may block for ever. The positions
            // are as they were.
            _ = self.primaries.changed() => {
                self.read = None;
                self.streams.iter_mut().for_each(|stream| stream.state = State::CatchUp);
                return Ok(None);
            }
        };
        self.read = None;
        // After a failure the connection is tried again. Reading history instead would succeed, and
        // hide that the connection fails.
        let result = result.inspect_err(|_| self.reader.metrics.redis.fail(Operation::Follow))?;
        self.take_result(result);
        Ok(self.ready.pop_front())
    }

    /// Makes updates of what a read returned. Each stream has one at the most, so that the caller
    /// has set all positions before the next read.
    fn take_result(&mut self, result: ReadResult) {
        self.connection = Some(result.connection);
        for StreamReply {
            number,
            entries,
            head,
        } in result.streams
        {
            // A stream may have been removed meanwhile.
            let mut streams = self.streams.iter_mut();
            let Some(stream) = streams.find(|stream| stream.number == number) else {
                continue;
            };
            let update = stream.take_live(entries, head);
            if update.is_empty() && !self.ready.is_empty() {
                continue;
            }
            self.remove_if_over(number, &update);
            self.ready.push_back((number, update));
        }
    }

    fn remove_if_over(&mut self, number: usize, update: &StreamUpdate) {
        if update.is_last() {
            self.streams.retain(|stream| stream.number != number);
        }
    }

    fn start_read(&mut self) {
        // After a change of the primary, the connection is of the server before.
        let is_old = self.primaries.has_changed().unwrap_or(false);
        let read = BlockingRead {
            link: self.primaries.borrow_and_update().clone(),
            connection: self.connection.take().filter(|_| !is_old),
            timeout: self.reader.timeout,
            is_probe: self.has_failed,
        };
        let streams = self.streams.iter().map(ExclusiveStream::read_from);
        self.read = Some(Box::pin(read.run(streams.collect())));
    }
}

#[async_trait]
impl TailSet for ExclusiveTails {
    fn holds_connection(&self) -> bool {
        true
    }

    fn add(&mut self, page: Page, position: SharedPosition) -> usize {
        let number = self.added;
        self.streams
            .push(ExclusiveStream::new(&self.reader, number, page, position));
        self.added += 1;
        // A read without the new stream is given up, and its connection with it.
        self.read = None;
        number
    }

    fn remove(&mut self, tail: usize) {
        self.streams.retain(|stream| stream.number != tail);
        self.ready.retain(|(number, _)| *number != tail);
    }

    fn is_failing(&self) -> bool {
        self.has_failed
    }

    async fn next(&mut self) -> Result<(usize, StreamUpdate), StoreError> {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some((_, update))) if update.is_empty() && !self.has_failed => {}
                Ok(Some(update)) => {
                    self.has_failed = false;
                    return Ok(update);
                }
                Err(error) => {
                    self.has_failed = true;
                    return Err(error);
                }
            }
        }
    }
}
