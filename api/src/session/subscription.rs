//! What a client reads: its streams, how far it is in each, and what it is told of what comes.

use super::{
    Step,
    awaited::{Appearance, Awaited},
    stream::{Phase, SubscribedStream},
};
use crate::{
    store::{Gone, News, Page, StoreError, Tails},
    stream::{EventFilter, EventId, Position, StreamKey},
};

/// How many events may be passed over before the client is told where it is.
const PASSED_OVER: usize = 1_000;

/// The streams of a client. Dropped, it frees their tails.
pub struct Subscription {
    pub(super) tails: Box<dyn Tails>,
    /// Streams that are not there yet. Most clients wait for none.
    pub(super) awaited: Option<Box<Awaited>>,
    streams: Vec<SubscribedStream>,
    filter: Option<EventFilter>,
    is_keyed: bool,
    /// How many streams the tails were given.
    added: usize,
    /// Events passed over since the client was last told where it is.
    passed_over: usize,
}

impl Subscription {
    /// Of no stream yet. With `is_keyed`, each frame will say which stream it is from, so that one
    /// that is gone is no end of the others.
    #[must_use]
    pub fn new(tails: Box<dyn Tails>, filter: Option<EventFilter>, is_keyed: bool) -> Self {
        Self {
            tails,
            awaited: None,
            streams: Vec::with_capacity(1),
            filter,
            is_keyed,
            added: 0,
            passed_over: 0,
        }
    }

    /// Follows the stream that the page was read from, in which the client is at this position.
    /// `tell`: the client does not know that it is there.
    pub fn add(&mut self, page: Page, position: Position, tell: bool) {
        let phase = Phase::Live {
            number: self.added,
            newest: page.info.last,
        };
        self.streams.push(SubscribedStream::new(
            page.key.clone(),
            position,
            phase,
            tell,
        ));
        self.added += 1;
        self.tails.add(page);
    }

    /// Follows a stream from when it is there. `tell`: the client is told that it is before the
    /// stream's beginning.
    pub fn add_awaited(&mut self, key: StreamKey, appears: Appearance, tell: bool) {
        self.streams.push(SubscribedStream::new(
            key.clone(),
            Position::Start,
            Phase::Awaited,
            tell,
        ));
        self.awaited.get_or_insert_default().add(key, appears);
    }

    /// Remembers a stream of which the client has all.
    pub fn add_complete(&mut self, key: StreamKey, position: Position) {
        self.streams
            .push(SubscribedStream::new(key, position, Phase::Ended, false));
    }

    /// Remembers a stream that is no more, which the client is to be told.
    pub fn add_gone(&mut self, key: StreamKey, position: Position) {
        self.streams.push(SubscribedStream::new(
            key,
            position,
            Phase::Gone { told: false },
            false,
        ));
    }

    /// Lets a stream go; where the client was in it, if it was there.
    pub fn remove(&mut self, key: &StreamKey) -> Option<Position> {
        let index = self.streams.iter().position(|stream| stream.key == *key)?;
        let stream = self.streams.remove(index);
        if let Phase::Live { number, .. } = stream.phase {
            self.tails.remove(number);
        }
        if let Some(awaited) = &mut self.awaited {
            awaited.remove(key);
        }
        Some(stream.position)
    }

    /// Whether it holds something that must be let go as soon as the client has left or has stopped
    /// to read.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.tails.is_scarce()
    }

    /// Whether each frame says which stream it is from.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// From now on each does.
    pub fn set_keyed(&mut self) {
        self.is_keyed = true;
    }

    /// The client's streams, those of which there is nothing more to send included.
    #[must_use]
    pub fn streams(&self) -> &[SubscribedStream] {
        &self.streams
    }

    /// What the client wants, if it does not want all.
    #[must_use]
    pub fn filter(&self) -> Option<&EventFilter> {
        self.filter.as_ref()
    }

    /// Whether the client wants events of this name.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.passes(name))
    }

    /// Whether all that was there when the client came was put out, or passed over.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.streams.iter().all(SubscribedStream::is_caught_up)
    }

    /// How it ended, if nothing more can come: with the end of a stream, or all streams are gone.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<(), Gone>> {
        let over = !self.streams.is_empty() && self.streams.iter().all(SubscribedStream::is_over);
        let ended = || {
            self.streams
                .iter()
                .any(|stream| stream.phase == Phase::Ended)
        };
        over.then(|| if ended() { Ok(()) } else { Err(Gone) })
    }

    /// The next of what was there when the client came; none when it has all of it. For whoever
    /// waits for nothing.
    pub async fn history(&mut self) -> Result<Option<Step>, StoreError> {
        loop {
            if let Some(step) = self.overdue() {
                return Ok(Some(step));
            }
            if self.is_caught_up() {
                return Ok(None);
            }
            let news = self.tails.next().await?;
            if let Some(step) = self
                .take(news)
                .filter(|step| !matches!(step, Step::CaughtUp))
            {
                return Ok(Some(step));
            }
        }
    }

    /// Takes back what was put out of a stream behind this event: an answer had no room for it. For
    /// a client that is sent no more; it comes back with its position.
    pub fn cut(&mut self, stream: usize, after: EventId) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.cut(after);
        }
    }

    /// What the client is to be told before anything that comes.
    pub(super) fn overdue(&mut self) -> Option<Step> {
        if let Some(index) = self
            .streams
            .iter_mut()
            .position(SubscribedStream::tell_gone)
        {
            return Some(Step::Gone(index));
        }
        let untold =
            self.passed_over >= PASSED_OVER || self.streams.iter().any(|stream| stream.tell);
        untold.then(|| self.positions()).flatten()
    }

    /// Where the client is, in those streams in which it can't know it.
    pub(super) fn positions(&mut self) -> Option<Step> {
        self.passed_over = 0;
        let owed: Vec<_> = (0..)
            .zip(&mut self.streams)
            .filter_map(|(index, stream)| stream.owed().then_some(index))
            .collect();
        (!owed.is_empty()).then_some(Step::Positions(owed))
    }

    /// A step of these news; none where the client is told nothing.
    pub(super) fn take(&mut self, news: News) -> Option<Step> {
        // Of a stream that was removed there are no news.
        let index = self
            .streams
            .iter()
            .position(|stream| stream.has_number(news.stream))?;
        let stream = self.streams.get_mut(index)?;
        let Ok(batch) = news.told else {
            stream.gone();
            return Some(Step::Gone(index));
        };
        let was_caught_up = stream.is_caught_up();
        stream.advance(&batch);
        let Some(filter) = &self.filter else {
            return (!batch.is_empty()).then_some(Step::Batch(index, batch));
        };
        let ends_unwanted = batch
            .entries()
            .next_back()
            .is_some_and(|last| !filter.passes(&last.name));
        if batch.missed.is_some()
            || batch.end
            || batch.entries().any(|entry| filter.passes(&entry.name))
        {
            // From a wanted event the client knows where it is.
            stream.owes = ends_unwanted;
            return Some(Step::Batch(index, batch));
        }
        stream.owes |= ends_unwanted;
        self.passed_over += batch.entries().count();
        (!was_caught_up && self.is_caught_up()).then_some(Step::CaughtUp)
    }

    /// A stream that was waited for is there.
    pub(super) fn appeared(&mut self, page: Page) {
        let awaited = self
            .streams
            .iter_mut()
            .find(|stream| stream.key == page.key && stream.phase == Phase::Awaited);
        if let Some(stream) = awaited {
            stream.phase = Phase::Live {
                number: self.added,
                newest: page.info.last,
            };
            self.added += 1;
            self.tails.add(page);
        }
    }
}
