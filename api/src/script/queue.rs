//! What waits for the thread of the script. A thread that takes over from another one has the same
//! queue.

use std::{future::poll_fn, sync::Arc, task::Poll};

use parking_lot::Mutex;
use tokio::sync::{
    mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender},
    watch,
};

use super::call::{MemberTable, Request};

/// The most calls that wait. Further callers wait for room, no longer than for their call.
const CAPACITY: usize = 1_024;

/// The receiving ends.
#[derive(Debug)]
pub(super) struct Queue {
    requests: Mutex<Receiver<Request>>,
    /// Unbounded, because nobody can wait where a subscriber is dropped. It holds each admitted
    /// subscriber once, at the most.
    left: Mutex<UnboundedReceiver<Arc<MemberTable>>>,
}

/// The sending ends.
#[derive(Clone, Debug)]
pub(super) struct Senders {
    pub(super) requests: Sender<Request>,
    pub(super) left: UnboundedSender<Arc<MemberTable>>,
}

/// The next thing to do.
#[derive(Debug)]
pub(super) enum Item {
    Request(Request),
    Left(Arc<MemberTable>),
}

/// An empty queue.
pub(super) fn queue() -> (Senders, Arc<Queue>) {
    let (requests, receiver) = mpsc::channel(CAPACITY);
    let (left, leaving) = mpsc::unbounded_channel();
    let queue = Queue {
        requests: Mutex::new(receiver),
        left: Mutex::new(leaving),
    };
    (Senders { requests, left }, Arc::new(queue))
}

impl Queue {
    /// The next item. None when this thread is given up, or the engine is gone. Cancel safe.
    pub(super) async fn next(&self, given_up: &watch::Receiver<bool>) -> Option<Item> {
        poll_fn(|context| {
            // Locked first: a thread that was given up must not take what its successor waits for.
            let (mut requests, mut left) = (self.requests.lock(), self.left.lock());
            if *given_up.borrow() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(Some(table)) = left.poll_recv(context) {
                return Poll::Ready(Some(Item::Left(table)));
            }
            requests
                .poll_recv(context)
                .map(|request| request.map(Item::Request))
        })
        .await
    }
}
