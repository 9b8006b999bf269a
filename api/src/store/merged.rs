//! Several tails as one, for stores in which a tail holds nothing that several would have to share.

use std::{collections::HashMap, future::pending};

use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use rocket::async_trait;

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

/// The tails of a source. Most readers follow one stream: as long as there is no second, its tail is asked without a detour.
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
        Self { source, added: 0, tails: Few::One(None), failing: Vec::new() }
    }
}

impl<T: Tail> Many<T> {
    fn new() -> Self {
        Self { waits: FuturesUnordered::new(), handles: HashMap::new(), failed: Vec::new() }
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
            let Some(answer) = self.waits.next().await else { return pending().await };
            // One that was let go meanwhile has nothing to say.
            let Ok((number, tail, answer)) = answer else { continue };
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
