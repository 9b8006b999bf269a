//! Tails: readers that follow streams from a position on.

use async_trait::async_trait;

use super::{error::StoreError, page::Page, update::StreamUpdate};
use crate::stream::SharedPosition;

/// The tails of one subscriber: history first, then live events, then the end, of each stream.
///
/// A tail reads after the stream's [`SharedPosition`]. The caller must set the position behind each
/// update before it asks for the next one.
#[async_trait]
pub trait TailSet: Send {
    /// Whether they hold a connection to Redis, which must be freed as soon as the subscriber has
    /// left or no longer reads.
    fn holds_connection(&self) -> bool {
        false
    }

    /// Follows one more stream, the one that `page` was read from: that page first, and then
    /// everything after it. Returns the number of the tail, which no other tail has had.
    fn add(&mut self, page: Page, position: SharedPosition) -> usize;

    /// Removes a tail: no update of it follows. Does nothing if it is over already.
    fn remove(&mut self, tail: usize);

    /// Whether the last answer of the store for one of the streams was an error.
    fn is_failing(&self) -> bool;

    /// Waits for the next update, and returns it with the number of its tail. Each stream's entries
    /// come once and in order. Nothing follows an update with [`StreamUpdate::is_last`]. Without a
    /// tail it waits for ever.
    ///
    /// Errors: the store failed for one stream. All tails keep their positions, so that the caller
    /// may ask again later. The first answer of the store for that stream is returned in any case,
    /// as an empty batch where nothing is new. So the caller knows when an outage is over.
    ///
    /// Cancel safe: dropping the future loses nothing and repeats nothing. Dropping the tails frees
    /// everything that they hold.
    async fn next(&mut self) -> Result<(usize, StreamUpdate), StoreError>;
}
