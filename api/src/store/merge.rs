//! Several tails as one, for stores in which a tail holds nothing that several would have to share.

use std::{collections::HashMap, future::pending};

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};

use super::{Batch, Gone, News, Page, StoreError, Tails};

/// One stream from a cursor on. See [`Tails`] for what it promises.
pub(super) trait Tail: Send + 'static {
    /// As [`Tails::next`], of one stream.
    fn next(&mut self) -> impl Future<Output = Result<Batch, TailError>> + Send;
}

/// Why a tail has no batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum TailError {
    /// The stream is no more. Final.
    #[error("the stream is gone")]
    Gone,
    /// The store failed. The tail has kept its place: ask again after a while.
    #[error(transparent)]
    Store(StoreError),
}

/// Where tails come from.
pub(super) trait Source: Send + 'static {
    type Tail: Tail;

    /// Follows the stream that the page was read from.
    fn tail(&self, page: Page) -> Self::Tail;
}

/// The tails of a source. Most readers follow one stream: as long as there is no second, its tail
/// is asked without a detour.
pub(super) struct Merged<S: Source> {
    source: S,
    added: usize,
    tails: Few<S::Tail>,
    /// Streams whose last answer was an error.
    failing: Vec<usize>,
}

enum Few<T> {
    One(Option<(usize, T)>),
    Many(Box<Many<T>>),
}

struct Many<T> {
    waits: FuturesUnordered<Wait<T>>,
    /// To let go a tail in the midst of its wait.
    handles: HashMap<usize, AbortHandle>,
    /// Those whose last answer was an error, until the next question.
    failed: Vec<(usize, T)>,
}

/// A tail that is being asked, with its number; both come back with the answer.
type Wait<T> = Abortable<BoxFuture<'static, (usize, T, Result<Batch, TailError>)>>;

impl<S: Source> Merged<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            added: 0,
            tails: Few::One(None),
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

    fn ask(&mut self, number: usize, mut tail: T) {
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
    async fn next(&mut self) -> (usize, Result<Batch, TailError>) {
        for (number, tail) in std::mem::take(&mut self.failed) {
            self.ask(number, tail);
        }
        loop {
            let Some(answer) = self.waits.next().await else {
                return pending().await;
            };
            // One that was let go meanwhile has nothing to say.
            let Ok((number, tail, answer)) = answer else {
                continue;
            };
            if self.handles.remove(&number).is_none() {
                continue;
            }
            match &answer {
                Ok(batch) if batch.end => {}
                Ok(_) => self.ask(number, tail),
                Err(TailError::Gone) => {}
                Err(TailError::Store(_)) => self.failed.push((number, tail)),
            }
            return (number, answer);
        }
    }
}

#[async_trait]
impl<S: Source> Tails for Merged<S>
where
    S: Sync,
    S::Tail: Sync,
{
    fn add(&mut self, page: Page) {
        let (number, tail) = (self.added, self.source.tail(page));
        self.added += 1;
        match &mut self.tails {
            Few::Many(many) => many.ask(number, tail),
            Few::One(one) => match one.take() {
                None => *one = Some((number, tail)),
                Some((first, first_tail)) => {
                    let mut many = Many::new();
                    many.ask(first, first_tail);
                    many.ask(number, tail);
                    self.tails = Few::Many(Box::new(many));
                }
            },
        }
    }

    fn remove(&mut self, stream: usize) {
        self.failing.retain(|&failing| failing != stream);
        match &mut self.tails {
            Few::One(one) => _ = one.take_if(|(number, _)| *number == stream),
            Few::Many(many) => many.remove(stream),
        }
    }

    fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    async fn next(&mut self) -> Result<News, StoreError> {
        let (stream, answer) = match &mut self.tails {
            Few::One(None) => return pending().await,
            Few::One(Some((number, tail))) => (*number, tail.next().await),
            Few::Many(many) => many.next().await,
        };
        let told = match answer {
            Ok(batch) => Ok(batch),
            Err(TailError::Gone) => Err(Gone),
            Err(TailError::Store(error)) => {
                if !self.failing.contains(&stream) {
                    self.failing.push(stream);
                }
                return Err(error);
            }
        };
        self.failing.retain(|&failing| failing != stream);
        if told.as_ref().map_or(true, |batch| batch.end) {
            self.remove(stream);
        }
        Ok(News { stream, told })
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, poll};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        store::StreamInfo,
        stream::{EventId, Generation, Status},
    };

    /// What its tails answer is sent to them.
    #[derive(Default)]
    struct Scripted(std::sync::Mutex<Vec<mpsc::UnboundedReceiver<Result<Batch, TailError>>>>);

    struct ScriptedTail(mpsc::UnboundedReceiver<Result<Batch, TailError>>);

    impl Tail for ScriptedTail {
        async fn next(&mut self) -> Result<Batch, TailError> {
            match self.0.recv().await {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    }

    impl Source for Scripted {
        type Tail = ScriptedTail;

        fn tail(&self, _: Page) -> ScriptedTail {
            ScriptedTail(self.0.lock().unwrap().remove(0))
        }
    }

    type Script = mpsc::UnboundedSender<Result<Batch, TailError>>;

    fn merged(streams: usize) -> (Merged<Scripted>, Vec<Script>) {
        let (scripts, answers): (Vec<_>, Vec<_>) =
            (0..streams).map(|_| mpsc::unbounded_channel()).unzip();
        let mut merged = Merged::new(Scripted(std::sync::Mutex::new(answers)));
        for _ in 0..streams {
            merged.add(page());
        }
        (merged, scripts)
    }

    fn page() -> Page {
        let id = EventId { ms: 1, n: 0 };
        let ttl = std::time::Duration::from_secs(1);
        let info = StreamInfo {
            generation: Generation([0; 16]),
            status: Status::Active,
            length: 1,
            ttl,
            first: id,
            last: id,
            created_ms: 1,
        };
        Page::unread("a".parse().unwrap(), info, None)
    }

    fn fails() -> Result<Batch, TailError> {
        Err(TailError::Store(StoreError::Unavailable("away".to_owned())))
    }

    fn ending() -> Batch {
        Batch {
            end: true,
            ..Batch::default()
        }
    }

    /// The number of the stream that there are news of, if there are any now.
    fn now(merged: &mut Merged<Scripted>) -> Option<Result<usize, StoreError>> {
        merged
            .next()
            .now_or_never()
            .map(|news| news.map(|news| news.stream))
    }

    #[tokio::test]
    async fn a_stream_that_fails_keeps_its_place_and_is_no_end_of_the_others() {
        for streams in [1, 3] {
            let (mut merged, scripts) = merged(streams);
            scripts[0].send(fails()).unwrap();
            assert!(now(&mut merged).unwrap().is_err());
            assert!(merged.is_failing());
            for (number, script) in scripts.iter().enumerate().skip(1) {
                script.send(Ok(Batch::default())).unwrap();
                assert_eq!(now(&mut merged).unwrap().unwrap(), number);
                assert!(merged.is_failing(), "the first has not answered");
            }
            scripts[0].send(Ok(Batch::default())).unwrap();
            assert_eq!(
                now(&mut merged).unwrap().unwrap(),
                0,
                "told although there is nothing new"
            );
            assert!(!merged.is_failing());
        }
    }

    #[tokio::test]
    async fn of_a_stream_that_was_removed_or_is_over_nothing_comes() {
        for streams in [1, 2, 3] {
            let (mut merged, scripts) = merged(streams);
            assert!(now(&mut merged).is_none());
            merged.remove(0);
            // Whether its tail is dropped at once or at the next look: nobody hears it.
            let _ = scripts[0].send(Ok(Batch::default()));
            assert!(now(&mut merged).is_none());
            for (number, script) in scripts.iter().enumerate().skip(1) {
                script.send(Ok(ending())).unwrap();
                script.send(Ok(Batch::default())).unwrap();
                assert_eq!(now(&mut merged).unwrap().unwrap(), number);
            }
            assert!(now(&mut merged).is_none());
            merged
                .source
                .0
                .lock()
                .unwrap()
                .push(mpsc::unbounded_channel().1);
            merged.add(page());
            assert!(
                now(&mut merged).is_none(),
                "one more is taken after all others are over"
            );
        }
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_loses_no_answer() {
        let (mut merged, scripts) = merged(3);
        for round in 0..10 {
            assert!(poll!(Box::pin(merged.next())).is_pending());
            scripts[round % 3].send(Ok(Batch::default())).unwrap();
            assert_eq!(merged.next().await.unwrap().stream, round % 3);
        }
    }
}
