//! Streams that a client waits for.

use std::task::{Context, Poll};

use futures::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};

use crate::{store::Page, stream::StreamKey};

/// Resolves when a stream is there, to a page of it that is not read.
pub type Appearance = BoxFuture<'static, Page>;

#[derive(Default)]
pub(super) struct Awaited {
    appearances: FuturesUnordered<Abortable<Appearance>>,
    /// To give up waiting for one.
    handles: Vec<(StreamKey, AbortHandle)>,
}

impl Awaited {
    pub(super) fn add(&mut self, key: StreamKey, appears: Appearance) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.push((key, handle));
        self.appearances.push(Abortable::new(appears, registration));
    }

    pub(super) fn remove(&mut self, key: &StreamKey) {
        for (_, handle) in self.handles.extract_if(.., |(awaited, _)| awaited == key) {
            handle.abort();
        }
    }

    /// A stream that is there; pending, too, where there is none to wait for.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Page> {
        while let Poll::Ready(Some(appeared)) = self.appearances.poll_next_unpin(context) {
            // One that was given up has nothing to say.
            if let Ok(page) = appeared {
                self.handles.retain(|(awaited, _)| *awaited != page.key);
                return Poll::Ready(page);
            }
        }
        Poll::Pending
    }
}
