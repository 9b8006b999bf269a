//! One client's admission.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    liveness::{Liveness, Signal},
    registry::{LimitReached, Registry},
};
use crate::{
    stream::{EventId, StreamKey},
    telemetry::metrics::{ClientMetrics, Departure},
};

/// One client's slot; free again when dropped.
#[derive(Debug)]
pub struct Admission {
    liveness: Arc<Liveness>,
    registry: Registry,
}

impl Admission {
    pub(super) fn new(liveness: Arc<Liveness>, registry: Registry) -> Self {
        Self { liveness, registry }
    }

    /// The client follows one more stream; following it twice is following it once. Where the
    /// clients of a stream are limited this takes a place, and does not wait for one.
    ///
    /// Errors: [`LimitReached::Stream`].
    pub fn follow(&self, key: &StreamKey) -> Result<(), LimitReached> {
        if self.liveness.follows(key) {
            return Ok(());
        }
        let permit = self.registry.permit_now(key)?;
        let limit = permit.as_ref().map(|permit| permit.limit());
        self.liveness.follow(key.clone(), permit);
        if let Some(limit) = limit {
            limit.add(&self.liveness);
        }
        Ok(())
    }

    /// The client follows a stream no longer, and its place there is free. Nothing where it does
    /// not follow it.
    pub fn unfollow(&self, key: &StreamKey) {
        if let Some(permit) = self.liveness.unfollow(key) {
            permit.limit().forget(&self.liveness);
        }
    }

    /// The client was handed these events of a stream, up to the last, in so many bytes; once for
    /// each batch. With no events it says where a client is that has come with a position.
    pub fn delivered(&self, key: &StreamKey, last: EventId, events: usize, bytes: usize) {
        self.liveness.delivered(key, last, events, bytes);
    }

    /// The most pressing call on the client, if there is one; else the task is woken by the next.
    pub(super) fn poll_signal(&self, context: &Context<'_>) -> Option<Signal> {
        self.liveness.poll_signal(context)
    }

    /// Resolves when an operator wants the client gone, whatever else it is called on to do.
    pub async fn dismissed(&self) {
        poll_fn(|context| {
            if self.liveness.is_dismissed(context) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Something was put out, an event perhaps.
    pub(super) fn record_output(&self, event: bool) {
        self.liveness.record_output(event);
    }

    /// The client was given something; until it has taken it, nobody asks the feed.
    pub(super) fn given(&self) {
        self.liveness.given();
    }

    /// Says why the client is about to be gone; unless it is said, it leaves by itself.
    pub fn set_disconnect_reason(&self, reason: Departure) {
        self.liveness.set_disconnect_reason(reason);
    }

    /// The metrics of such clients.
    pub(super) fn metrics(&self) -> &ClientMetrics {
        &self.liveness.metrics
    }

    /// The client has taken all.
    pub(super) fn taken(&self) {
        self.liveness.taken();
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // Whoever looks at the client at this moment keeps the pulse, but not the place.
        self.liveness.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::metrics::gauge::Gauge;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        lifecycle::Lifecycle,
        session::{AdmissionRequest, ClientMetadata, Limits, SessionInfo, Timeouts},
        telemetry::metrics::{Metrics, Transport},
    };

    fn registry(per_stream: usize) -> Registry {
        Registry::new(
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

    async fn claim(
        registry: &Registry,
        keys: &[&str],
        tags: &[&str],
    ) -> Result<Admission, LimitReached> {
        let tags = tags.iter().map(|&tag| tag.into()).collect();
        let metadata = ClientMetadata {
            transport: Transport::Ws,
            name: None,
            tags,
            filter: None,
        };
        let request = AdmissionRequest {
            keys: keys.iter().copied().map(key).collect(),
            address: None,
            metadata,
        };
        let timeouts = Timeouts {
            heartbeat: Duration::from_secs(3600),
            idle: Duration::from_secs(7200),
        };
        registry
            .claim(
                request,
                timeouts,
                Metrics::new(None, 1).clients(Transport::Ws),
            )
            .await
    }

    fn followers(registry: &Registry) -> [u32; 3] {
        ["a", "b", "c"].map(|name| registry.followers(&key(name)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_of_several_streams_has_a_place_in_each() {
        let registry = registry(1);
        let both = claim(&registry, &["b", "a"], &[]).await.unwrap();
        assert_eq!((registry.in_use(), followers(&registry)), (1, [1, 1, 0]));
        for taken in ["a", "b"] {
            assert_eq!(
                claim(&registry, &[taken], &[]).await.unwrap_err(),
                LimitReached::Stream(1)
            );
        }
        // What it had got of a stream before another was found full is free again.
        assert_eq!(
            claim(&registry, &["c", "a"], &[]).await.unwrap_err(),
            LimitReached::Stream(1)
        );
        assert_eq!((registry.in_use(), followers(&registry)), (1, [1, 1, 0]));
        drop(claim(&registry, &["c"], &[]).await.unwrap());
        drop(both);
        assert_eq!((registry.in_use(), followers(&registry)), (0, [0, 0, 0]));
        claim(&registry, &["a", "b", "c"], &[]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_do_not_wait_for_each_others_places() {
        let registry = registry(1);
        let taken = claim(&registry, &["a"], &[]).await.unwrap();
        let leave = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(taken);
        };
        let stays = |keys: [&'static str; 2]| {
            let registry = &registry;
            async move {
                let admission = claim(registry, &keys, &[]).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                admission.map(drop)
            }
        };
        let ((), one, two) = tokio::join!(leave, stays(["a", "b"]), stays(["b", "a"]));
        assert_eq!((one, two), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_stream_takes_a_place_at_once_or_not_at_all() {
        let registry = registry(1);
        let (one, other) = (
            claim(&registry, &[], &[]).await.unwrap(),
            claim(&registry, &["b"], &[]).await.unwrap(),
        );
        let begun = Instant::now();
        assert_eq!(one.follow(&key("a")), Ok(()));
        assert_eq!(one.follow(&key("a")), Ok(()), "it has it already");
        assert_eq!(one.follow(&key("b")), Err(LimitReached::Stream(1)));
        assert_eq!(other.follow(&key("a")), Err(LimitReached::Stream(1)));
        assert_eq!(
            (begun.elapsed(), followers(&registry)),
            (Duration::ZERO, [1, 1, 0])
        );
        one.unfollow(&key("a"));
        one.unfollow(&key("c"));
        assert_eq!(other.follow(&key("a")), Ok(()));
        assert_eq!(followers(&registry), [1, 1, 0]);
        drop(other);
        assert_eq!(one.follow(&key("b")), Ok(()));
        drop(one);
        assert_eq!((registry.in_use(), followers(&registry)), (0, [0, 0, 0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_and_goes_in_a_stream_is_not_remembered_there() {
        let registry = registry(2);
        let (one, _stays) = (
            claim(&registry, &[], &[]).await.unwrap(),
            claim(&registry, &["a"], &[]).await.unwrap(),
        );
        let limit = registry.permit_now(&key("a")).unwrap().unwrap().limit();
        for _ in 0..100 {
            one.follow(&key("a")).unwrap();
            assert_eq!(limit.remembered(), 2);
            one.unfollow(&key("a"));
        }
        assert_eq!(limit.remembered(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_listed_as_they_are_and_as_they_came() {
        let registry = registry(0);
        let one = claim(&registry, &["a", "b"], &["x", "y"]).await.unwrap();
        let _two = claim(&registry, &["b"], &["y"]).await.unwrap();
        one.delivered(&key("a"), EventId { ms: 7, n: 4 }, 5, 100);
        one.delivered(&key("a"), EventId { ms: 7, n: 6 }, 2, 50);
        one.delivered(&key("c"), EventId { ms: 7, n: 9 }, 0, 0);
        let listed = |at: Option<&str>, tag| registry.clients(at.map(key).as_ref(), tag);
        let [
            SessionInfo {
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
            (second.events, &second.metadata.tags[..]),
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
        let registry = registry(1);
        let (one, other) = (
            claim(&registry, &["a"], &[]).await.unwrap(),
            claim(&registry, &["b"], &[]).await.unwrap(),
        );
        // It takes nothing, and would notice much later.
        one.given();
        let id = registry.clients(Some(&key("a")), None)[0].id;
        assert!(registry.disconnect(id));
        assert_eq!((registry.in_use(), followers(&registry)), (1, [0, 1, 0]));
        assert!(!registry.disconnect(id), "it is gone");
        let signal = poll_fn(|context| one.poll_signal(context).map_or(Poll::Pending, Poll::Ready));
        assert_eq!(signal.await, Signal::Disconnect);
        assert_eq!(one.follow(&key("c")), Ok(()), "of no use to it any more");
        assert_eq!(followers(&registry), [0, 1, 0]);
        drop((one, other));
        assert_eq!(registry.in_use(), 0);
    }

    #[test]
    fn an_idle_client_takes_little_memory() {
        // What most clients lack, such as a name and tags, is elsewhere.
        assert!(size_of::<Liveness>() <= 272, "{}", size_of::<Liveness>());
    }
}
