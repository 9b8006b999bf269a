//! Streams that a subscriber waits for, because they do not exist yet.

use std::task::{Context, Poll};

use futures::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};

use crate::{store::Page, stream::StreamKey};

/// Resolves when a stream exists, to a page of it that is not read yet.
pub type Appearance = BoxFuture<'static, Page>;

/// The streams that a subscriber waits for.
#[derive(Default)]
pub(super) struct AwaitedStreams {
    appearances: FuturesUnordered<Abortable<Appearance>>,
    /// To stop waiting for one of them.
    handles: Vec<(StreamKey, AbortHandle)>,
}

impl AwaitedStreams {
    pub(super) fn add(&mut self, key: StreamKey, appearance: Appearance) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.push((key, handle));
        self.appearances
            .push(Abortable::new(appearance, registration));
    }

    pub(super) fn remove(&mut self, key: &StreamKey) {
        for (_, handle) in self.handles.extract_if(.., |(awaited, _)| awaited == key) {
            handle.abort();
        }
    }

    /// Resolves to a stream that exists now. Where it waits for none it never resolves.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Page> {
        while let Poll::Ready(Some(appeared)) = self.appearances.poll_next_unpin(context) {
            // An error says that the subscriber no longer waits for the stream.
            if let Ok(page) = appeared {
                self.handles.retain(|(awaited, _)| *awaited != page.key);
                return Poll::Ready(page);
            }
        }
        Poll::Pending
    }
}
