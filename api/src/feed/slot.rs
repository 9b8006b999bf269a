//! One client's slot.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    pulse::{Call, Pulse},
    slots::{Full, Slots},
};
use crate::{
    event::{EventId, StreamKey},
    metrics::{ClientMetrics, Departure},
};

/// One client's slot; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    pulse: Arc<Pulse>,
    slots: Slots,
}

impl Slot {
    pub(super) fn new(pulse: Arc<Pulse>, slots: Slots) -> Self {
        Self { pulse, slots }
    }

    /// The client follows one more stream; following it twice is following it once. Where the
    /// clients of a stream are limited this takes a place, and does not wait for one.
    ///
    /// Errors: [`Full::Stream`].
    pub fn follow(&self, key: &StreamKey) -> Result<(), Full> {
        if self.pulse.follows(key) {
            return Ok(());
        }
        let seat = self.slots.seat_now(key)?;
        let group = seat.as_ref().map(|seat| seat.group());
        self.pulse.follow(key.clone(), seat);
        if let Some(group) = group {
            group.add(&self.pulse);
        }
        Ok(())
    }

    /// The client follows a stream no longer, and its place there is free. Nothing where it does
    /// not follow it.
    pub fn unfollow(&self, key: &StreamKey) {
        if let Some(seat) = self.pulse.unfollow(key) {
            seat.group().forget(&self.pulse);
        }
    }

    /// The client was handed these events of a stream, up to the last, in so many bytes; once for
    /// each batch. With no events it says where a client is that has come with a position.
    pub fn delivered(&self, key: &StreamKey, last: EventId, events: usize, bytes: usize) {
        self.pulse.delivered(key, last, events, bytes);
    }

    /// The most pressing call on the client, if there is one; else the task is woken by the next.
    pub(super) fn called(&self, context: &Context<'_>) -> Option<Call> {
        self.pulse.called(context)
    }

    /// Resolves when an operator wants the client gone, whatever else it is called on to do.
    pub async fn dismissed(&self) {
        poll_fn(|context| {
            if self.pulse.is_dismissed(context) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Something was put out, an event perhaps.
    pub(super) fn put_out(&self, event: bool) {
        self.pulse.put_out(event);
    }

    /// The client was given something; until it has taken it, nobody asks the feed.
    pub(super) fn given(&self) {
        self.pulse.given();
    }

    /// Says why the client is about to be gone; unless it is said, it leaves by itself.
    pub fn departs(&self, reason: Departure) {
        self.pulse.departs(reason);
    }

    /// The metrics of such clients.
    pub(super) fn metrics(&self) -> &ClientMetrics {
        &self.pulse.metrics
    }

    /// The client has taken all.
    pub(super) fn taken(&self) {
        self.pulse.taken();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Whoever looks at the client at this moment keeps the pulse, but not the place.
        self.pulse.leaves();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::metrics::gauge::Gauge;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        feed::{Client, Limits, Newcomer, Pace, Profile},
        lifecycle::Lifecycle,
        metrics::{Metrics, Transport},
    };

    fn slots(per_stream: usize) -> Slots {
        Slots::new(
            Limits {
                node: 10,
                per_stream,
                per_address: 0,
            },
            Gauge::default(),
            Lifecycle::default(),
        )
    }

    fn key(key: &str) -> StreamKey {
        key.parse().unwrap()
    }

    async fn claim(slots: &Slots, keys: &[&str], tags: &[&str]) -> Result<Slot, Full> {
        let tags = tags.iter().map(|&tag| tag.into()).collect();
        let profile = Profile {
            transport: Transport::Ws,
            name: None,
            tags,
            filter: None,
        };
        let newcomer = Newcomer {
            keys: keys.iter().copied().map(key).collect(),
            address: None,
            profile,
        };
        let pace = Pace {
            heartbeat: Duration::from_secs(3600),
            idle: Duration::from_secs(7200),
        };
        slots
            .claim(newcomer, pace, Metrics::new(None, 1).clients(Transport::Ws))
            .await
    }

    fn followers(slots: &Slots) -> [u32; 3] {
        ["a", "b", "c"].map(|name| slots.followers(&key(name)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_of_several_streams_has_a_place_in_each() {
        let slots = slots(1);
        let both = claim(&slots, &["b", "a"], &[]).await.unwrap();
        assert_eq!((slots.in_use(), followers(&slots)), (1, [1, 1, 0]));
        for taken in ["a", "b"] {
            assert_eq!(
                claim(&slots, &[taken], &[]).await.unwrap_err(),
                Full::Stream(1)
            );
        }
        // What it had got of a stream before another was found full is free again.
        assert_eq!(
            claim(&slots, &["c", "a"], &[]).await.unwrap_err(),
            Full::Stream(1)
        );
        assert_eq!((slots.in_use(), followers(&slots)), (1, [1, 1, 0]));
        drop(claim(&slots, &["c"], &[]).await.unwrap());
        drop(both);
        assert_eq!((slots.in_use(), followers(&slots)), (0, [0, 0, 0]));
        claim(&slots, &["a", "b", "c"], &[]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_do_not_wait_for_each_others_places() {
        let slots = slots(1);
        let taken = claim(&slots, &["a"], &[]).await.unwrap();
        let leaves = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(taken);
        };
        let stays = |keys: [&'static str; 2]| {
            let slots = &slots;
            async move {
                let slot = claim(slots, &keys, &[]).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                slot.map(drop)
            }
        };
        let ((), one, two) = tokio::join!(leaves, stays(["a", "b"]), stays(["b", "a"]));
        assert_eq!((one, two), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_stream_takes_a_place_at_once_or_not_at_all() {
        let slots = slots(1);
        let (one, other) = (
            claim(&slots, &[], &[]).await.unwrap(),
            claim(&slots, &["b"], &[]).await.unwrap(),
        );
        let begun = Instant::now();
        assert_eq!(one.follow(&key("a")), Ok(()));
        assert_eq!(one.follow(&key("a")), Ok(()), "it has it already");
        assert_eq!(one.follow(&key("b")), Err(Full::Stream(1)));
        assert_eq!(other.follow(&key("a")), Err(Full::Stream(1)));
        assert_eq!(
            (begun.elapsed(), followers(&slots)),
            (Duration::ZERO, [1, 1, 0])
        );
        one.unfollow(&key("a"));
        one.unfollow(&key("c"));
        assert_eq!(other.follow(&key("a")), Ok(()));
        assert_eq!(followers(&slots), [1, 1, 0]);
        drop(other);
        assert_eq!(one.follow(&key("b")), Ok(()));
        drop(one);
        assert_eq!((slots.in_use(), followers(&slots)), (0, [0, 0, 0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_and_goes_in_a_stream_is_not_remembered_there() {
        let slots = slots(2);
        let (one, _stays) = (
            claim(&slots, &[], &[]).await.unwrap(),
            claim(&slots, &["a"], &[]).await.unwrap(),
        );
        let group = slots.seat_now(&key("a")).unwrap().unwrap().group();
        for _ in 0..100 {
            one.follow(&key("a")).unwrap();
            assert_eq!(group.remembered(), 2);
            one.unfollow(&key("a"));
        }
        assert_eq!(group.remembered(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_listed_as_they_are_and_as_they_came() {
        let slots = slots(0);
        let one = claim(&slots, &["a", "b"], &["x", "y"]).await.unwrap();
        let _two = claim(&slots, &["b"], &["y"]).await.unwrap();
        one.delivered(&key("a"), EventId { ms: 7, n: 4 }, 5, 100);
        one.delivered(&key("a"), EventId { ms: 7, n: 6 }, 2, 50);
        one.delivered(&key("c"), EventId { ms: 7, n: 9 }, 0, 0);
        let listed = |at: Option<&str>, tag| slots.clients(at.map(key).as_ref(), tag);
        let [
            Client {
                streams,
                events,
                bytes,
                ..
            },
            second,
        ] = &listed(None, None)[..]
        else {
            panic!("two")
        };
        assert_eq!(
            (streams, *events, *bytes),
            (&vec![(key("a"), 7), (key("b"), 0)], 7, 150)
        );
        assert_eq!(
            (second.events, &second.profile.tags[..]),
            (0, &["y".into()][..])
        );
        let count = |at, tag| listed(at, tag).len();
        assert_eq!(
            (
                count(Some("a"), None),
                count(Some("b"), None),
                count(Some("c"), None)
            ),
            (1, 2, 0)
        );
        assert_eq!(
            (
                count(None, Some("y")),
                count(Some("a"), Some("y")),
                count(Some("b"), Some("x"))
            ),
            (2, 1, 1)
        );
        assert_eq!((count(None, Some("z")), count(Some("a"), Some(""))), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_disconnected_has_no_place_from_that_moment_on() {
        let slots = slots(1);
        let (one, other) = (
            claim(&slots, &["a"], &[]).await.unwrap(),
            claim(&slots, &["b"], &[]).await.unwrap(),
        );
        // It takes nothing, and would notice much later.
        one.given();
        let id = slots.clients(Some(&key("a")), None)[0].id;
        assert!(slots.disconnect(id));
        assert_eq!((slots.in_use(), followers(&slots)), (1, [0, 1, 0]));
        assert!(!slots.disconnect(id), "it is gone");
        let call = poll_fn(|context| one.called(context).map_or(Poll::Pending, Poll::Ready));
        assert_eq!(call.await, Call::Disconnect);
        assert_eq!(one.follow(&key("c")), Ok(()), "of no use to it any more");
        assert_eq!(followers(&slots), [0, 1, 0]);
        drop((one, other));
        assert_eq!(slots.in_use(), 0);
    }

    #[test]
    fn an_idle_client_takes_little_memory() {
        // What most clients lack, such as a name and tags, is elsewhere.
        assert!(size_of::<Pulse>() <= 272, "{}", size_of::<Pulse>());
    }
}
