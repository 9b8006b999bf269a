//! Many tails as one set, for stores whose tails have nothing to share.

use std::{collections::HashMap, future::pending};

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};

use super::{error::StoreError, page::Page, tail::TailSet, update::StreamUpdate};
use crate::stream::SharedPosition;

/// A reader that follows one stream; [`TailSet`] says what it promises.
pub(super) trait Tail: Send + 'static {
    /// As [`TailSet::next`], of one stream.
    fn next(&mut self) -> impl Future<Output = Result<StreamUpdate, StoreError>> + Send;
}

/// Makes tails.
pub(super) trait TailSource: Send + 'static {
    type Tail: Tail;

    /// A tail of the stream that the page was read from.
    fn tail(&self, page: Page, position: SharedPosition) -> Self::Tail;
}

/// Tails of one source as a set. Most subscribers follow one stream: while there is no second, its
/// tail is polled directly.
pub(super) struct MergedTails<S: TailSource> {
    source: S,
    added: usize,
    tails: Tails<S::Tail>,
    /// Tails whose last answer was an error.
    failing: Vec<usize>,
}

enum Tails<T> {
    One(Option<(usize, T)>),
    Many(Box<Many<T>>),
}

struct Many<T> {
    waits: FuturesUnordered<Wait<T>>,
    /// To remove a tail that waits.
    handles: HashMap<usize, AbortHandle>,
    /// Tails whose last answer was an error, until the next call of `next`.
    failed: Vec<(usize, T)>,
}

/// A tail that waits for its next update. Both come back, with the tail's number.
type Wait<T> = Abortable<BoxFuture<'static, (usize, T, Result<StreamUpdate, StoreError>)>>;

impl<S: TailSource> MergedTails<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            added: 0,
            tails: Tails::One(None),
            failing: Vec::new(),
        }
    }
}

impl<T: Tail> Many<T> {
    fn new() -> Self {
        Self {
            waits: FuturesUnordered::new(),
            handles: HashMap::new(),
            failed: Vec::new(),
        }
    }

    /// Lets a tail wait. It is first polled by the next call of `next`, when the caller has set the
    /// position behind the update before.
    fn wait(&mut self, number: usize, mut tail: T) {
        let wait = async move {
            let answer = tail.next().await;
            (number, tail, answer)
        };
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(number, handle);
        self.waits.push(Abortable::new(wait.boxed(), registration));
    }

    fn remove(&mut self, number: usize) {
        if let Some(handle) = self.handles.remove(&number) {
            handle.abort();
        }
        self.failed.retain(|(failed, _)| *failed != number);
    }

    /// The next answer. Cancel safe: a wait is kept here until it is over.
    async fn next(&mut self) -> (usize, Result<StreamUpdate, StoreError>) {
        for (number, tail) in std::mem::take(&mut self.failed) {
            self.wait(number, tail);
        }
        loop {
            let Some(answer) = self.waits.next().await else {
                return pending().await;
            };
            // An error says that the tail was removed.
            let Ok((number, tail, answer)) = answer else {
                continue;
            };
            if self.handles.remove(&number).is_none() {
                continue;
            }
            match &answer {
                Ok(update) if update.is_last() => {}
                Ok(_) => self.wait(number, tail),
                Err(_) => self.failed.push((number, tail)),
            }
            return (number, answer);
        }
    }
}

#[async_trait]
impl<S: TailSource> TailSet for MergedTails<S>
where
    S: Sync,
    S::Tail: Sync,
{
    fn add(&mut self, page: Page, position: SharedPosition) -> usize {
        let (number, tail) = (self.added, self.source.tail(page, position));
        self.added += 1;
        match &mut self.tails {
            Tails::Many(many) => many.wait(number, tail),
            Tails::One(one) => match one.take() {
                None => *one = Some((number, tail)),
                Some((first, first_tail)) => {
                    let mut many = Many::new();
                    many.wait(first, first_tail);
                    many.wait(number, tail);
                    self.tails = Tails::Many(Box::new(many));
                }
            },
        }
        number
    }

    fn remove(&mut self, tail: usize) {
        self.failing.retain(|&failing| failing != tail);
        match &mut self.tails {
            Tails::One(one) => _ = one.take_if(|(number, _)| *number == tail),
            Tails::Many(many) => many.remove(tail),
        }
    }

    fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    async fn next(&mut self) -> Result<(usize, StreamUpdate), StoreError> {
        let (number, answer) = match &mut self.tails {
            Tails::One(None) => return pending().await,
            Tails::One(Some((number, tail))) => (*number, tail.next().await),
            Tails::Many(many) => many.next().await,
        };
        self.failing.retain(|&failing| failing != number);
        let update = answer.inspect_err(|_| self.failing.push(number))?;
        if update.is_last() {
            self.remove(number);
        }
        Ok((number, update))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::poll;
    use parking_lot::Mutex;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;
    use crate::{
        store::{Batch, StreamInfo},
        stream::{EventId, Generation, Position, Status},
    };

    type Answer = Result<StreamUpdate, StoreError>;

    /// A source whose tails return what the test sends them.
    #[derive(Default)]
    struct Scripted(Mutex<Vec<UnboundedReceiver<Answer>>>);

    struct ScriptedTail(UnboundedReceiver<Answer>);

    impl Tail for ScriptedTail {
        async fn next(&mut self) -> Answer {
            match self.0.recv().await {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    }

    impl TailSource for Scripted {
        type Tail = ScriptedTail;

        fn tail(&self, _: Page, _: SharedPosition) -> ScriptedTail {
            ScriptedTail(self.0.lock().remove(0))
        }
    }

    type Script = UnboundedSender<Answer>;

    fn merged(streams: usize) -> (MergedTails<Scripted>, Vec<Script>) {
        let (scripts, answers): (Vec<_>, Vec<_>) =
            (0..streams).map(|_| unbounded_channel()).unzip();
        let mut merged = MergedTails::new(Scripted(Mutex::new(answers)));
        for _ in 0..streams {
            add(&mut merged);
        }
        (merged, scripts)
    }

    fn add(merged: &mut MergedTails<Scripted>) {
        let id = EventId { ms: 1, n: 0 };
        let info = StreamInfo {
            generation: Generation([0; 16]),
            status: Status::Active,
            length: 1,
            ttl: Duration::from_secs(1),
            first: id,
            last: id,
            created_ms: 1,
            stop_requested_ms: None,
            deadlines: crate::stream::Deadlines::default(),
        };
        let page = Page::unread("a".parse().unwrap(), info, None);
        merged.add(page, SharedPosition::new(Position::Start));
    }

    fn nothing_new() -> StreamUpdate {
        StreamUpdate::Events(Batch::default())
    }

    fn failure() -> Answer {
        Err(StoreError::Unavailable("away".to_owned()))
    }

    fn last() -> StreamUpdate {
        StreamUpdate::Events(Batch {
            finished: Some(Status::Ended),
            ..Batch::default()
        })
    }

    /// The number of the tail that has an update now, if one has.
    fn now(merged: &mut MergedTails<Scripted>) -> Option<Result<usize, StoreError>> {
        let update = merged.next().now_or_never()?;
        Some(update.map(|(number, _)| number))
    }

    #[tokio::test]
    async fn a_stream_that_fails_keeps_its_position_and_does_not_end_the_others() {
        for streams in [1, 3] {
            let (mut merged, scripts) = merged(streams);
            scripts[0].send(failure()).unwrap();
            assert!(now(&mut merged).unwrap().is_err());
            assert!(merged.is_failing());
            for (number, script) in scripts.iter().enumerate().skip(1) {
                script.send(Ok(nothing_new())).unwrap();
                assert_eq!(now(&mut merged).unwrap().unwrap(), number);
                assert!(merged.is_failing(), "the first has not answered");
            }
            scripts[0].send(Ok(nothing_new())).unwrap();
            let recovered = now(&mut merged).unwrap().unwrap();
            assert_eq!(recovered, 0, "returned although nothing is new");
            assert!(!merged.is_failing());
        }
    }

    #[tokio::test]
    async fn a_stream_that_was_removed_or_is_over_has_no_more_updates() {
        for streams in [1, 2, 3] {
            let (mut merged, scripts) = merged(streams);
            assert!(now(&mut merged).is_none());
            merged.remove(0);
            // Its tail is dropped at once or when it is polled next; nothing receives this.
            let _ = scripts[0].send(Ok(nothing_new()));
            assert!(now(&mut merged).is_none());
            for (number, script) in scripts.iter().enumerate().skip(1) {
                script.send(Ok(last())).unwrap();
                script.send(Ok(nothing_new())).unwrap();
                assert_eq!(now(&mut merged).unwrap().unwrap(), number);
            }
            assert!(now(&mut merged).is_none());
            merged.source.0.lock().push(unbounded_channel().1);
            add(&mut merged);
            assert!(now(&mut merged).is_none(), "one more, after all are over");
        }
    }

    #[tokio::test]
    async fn a_call_of_next_that_is_dropped_loses_no_update() {
        let (mut merged, scripts) = merged(3);
        for round in 0..10 {
            assert!(poll!(Box::pin(merged.next())).is_pending());
            scripts[round % 3].send(Ok(nothing_new())).unwrap();
            assert_eq!(merged.next().await.unwrap().0, round % 3);
        }
    }
}
