//! The events of scripted streams, and reading subscriptions.

use futures::{StreamExt, TryStreamExt};
use tinistreamer_client::{Error, Event, Subscription};

use super::within;

pub(crate) const START: &str = "retry: 1\nid: 5-0\nevent: start\ndata:\n\n";
pub(crate) const TOKEN: &str = "id: 5-1\nevent: token\ndata: a\n\n";
pub(crate) const END: &str = "id: 6-2\nevent: end\ndata:\n\n";

pub(crate) async fn all(subscription: &mut Subscription) -> Result<Vec<Event>, Error> {
    within(subscription.try_collect()).await
}

pub(crate) fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.event).collect()
}

/// The error that a subscription ends with.
pub(crate) async fn failure(subscription: &mut Subscription) -> Error {
    let error = all(subscription).await.unwrap_err();
    assert!(
        within(subscription.next()).await.is_none(),
        "nothing follows an error"
    );
    error
}
