//! Resolves what a subscriber asks for: which streams exist, and where it starts in each. The same
//! for every transport.

use std::net::IpAddr;

use futures::{FutureExt, future::try_join_all};

use super::{
    decision::{Decision, Found, Question, decide},
    request::SubscribeRequest,
};
use crate::{
    hooks::SharedSubscriber,
    http::{
        error::{ApiError, ErrorCode},
        guards::TokenGrant,
        hooks::SubscribeHook,
        store_error::at,
    },
    session::{Appearance, Registry, Scripted, Subscription},
    store::{Page, SharedStore, StoreError},
    stream::{EventId, Position, SharedPosition, StartPosition, Status, StreamKey},
};

/// Streams of one request that are looked up at the same time.
const CONCURRENT_LOOKUPS: usize = 16;

/// Looks streams up for one token.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) store: SharedStore,
    pub(super) token: TokenGrant,
    pub(super) max_keys: usize,
    pub(super) registry: Registry,
    pub(super) address: Option<IpAddr>,
    pub(super) hook: SubscribeHook,
    /// The most bytes of an event that a script has changed.
    pub(super) max_event: usize,
}

/// A stream that a subscriber asked for.
pub(super) struct ResolvedStream {
    pub(super) key: StreamKey,
    /// The subscriber's position in it.
    pub(super) position: SharedPosition,
    pub(super) state: StreamState,
}

/// What the subscriber gets of the stream.
pub(super) enum StreamState {
    /// This page and everything after it. With `report`, it does not know its position.
    Open { page: Box<Page>, report: bool },
    /// Nothing, because it has everything. The stream is kept for this long.
    Complete {
        status: Status,
        ttl: std::time::Duration,
    },
    /// Everything, once the stream exists. With `report`, it does not know its position.
    Awaited { report: bool },
    /// A report that the stream was deleted.
    Deleted,
}

impl Resolver {
    /// Resolves the streams of a request. It takes no permit.
    ///
    /// Errors: the token does not open one of them; one does not exist; the store fails.
    pub(super) async fn resolve(
        &self,
        request: &SubscribeRequest,
    ) -> Result<Vec<ResolvedStream>, ApiError> {
        request
            .keys
            .iter()
            .try_for_each(|key| self.token.may_follow(key))?;
        self.may_share(&request.keys)?;
        let mut resolved = Vec::with_capacity(request.keys.len());
        for keys in request.keys.chunks(CONCURRENT_LOOKUPS) {
            let lookups = keys.iter().map(|key| self.resolve_one(key, request));
            resolved.extend(try_join_all(lookups).await?);
        }
        let is_over = |stream: &ResolvedStream| {
            matches!(
                stream.state,
                StreamState::Deleted | StreamState::Complete { .. }
            )
        };
        let is_deleted = |stream: &ResolvedStream| matches!(stream.state, StreamState::Deleted);
        if resolved.iter().all(is_over) && resolved.iter().any(is_deleted) {
            let message = "None of the streams at these keys exists any longer";
            return Err(ApiError::new(ErrorCode::StreamNotFound, message));
        }
        Ok(resolved)
    }

    /// Refuses streams that one connection can't follow together.
    pub(super) fn may_share(&self, keys: &[StreamKey]) -> Result<(), ApiError> {
        self.store.may_share(keys).map_err(|_| {
            let message = "In exclusive delivery one connection can't follow keys of several slots \
                           of a Redis Cluster; use several connections, or \
                           STREAMER_DELIVERY=shared";
            ApiError::new(ErrorCode::CrossSlot, message)
        })
    }

    /// Asks the script whether it accepts the subscriber. None without a script.
    ///
    /// Errors: `refused-by-script`, `script-failed`.
    pub(super) async fn ask_script(
        &self,
        request: &SubscribeRequest,
    ) -> Result<Option<SharedSubscriber>, ApiError> {
        let (about, claims) = (&request.name_and_tags, self.token.claims());
        let asked = self
            .hook
            .ask(&request.keys, claims, about.name(), about.tags());
        asked.await
    }

    async fn resolve_one(
        &self,
        key: &StreamKey,
        request: &SubscribeRequest,
    ) -> Result<ResolvedStream, ApiError> {
        let position = request.position(key);
        let found = match self.page(key, request, position).await {
            Ok(found) => Some(found),
            Err(StoreError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let info = found.as_ref().map(|(start, page)| (*start, &page.info));
        let grant = info.map(|(_, info)| self.token.may_open(key, info));
        let decision = decide(&Question {
            position,
            found: info.map(|(start, info)| Found {
                start,
                last: info.last,
                status: info.status,
                may_open: grant.as_ref().is_some_and(Result::is_ok),
            }),
            is_keyed: request.is_keyed(),
            resumes: request.resumes(),
            waits: request.wait && !self.token.is_bound(key),
            starts_elsewhere: request.start != StartPosition::Start,
        });
        let resolved = |position, state| ResolvedStream {
            key: key.clone(),
            position: SharedPosition::new(position),
            state,
        };
        Ok(match (decision, found) {
            (Decision::Open { position, report }, Some((_, page))) => {
                let page = Box::new(page);
                resolved(position, StreamState::Open { page, report })
            }
            (Decision::Complete { position, status }, found) => {
                let ttl = found.map(|(_, page)| page.info.ttl).unwrap_or_default();
                resolved(position, StreamState::Complete { status, ttl })
            }
            (Decision::Await { report }, _) => {
                resolved(Position::Start, StreamState::Awaited { report })
            }
            (Decision::Deleted { position }, _) => resolved(position, StreamState::Deleted),
            (Decision::Forbidden, _) => {
                return Err(grant
                    .and_then(Result::err)
                    .unwrap_or_else(ApiError::internal));
            }
            (Decision::NotFound | Decision::Open { .. }, _) => {
                return Err(at(key)(StoreError::NotFound));
            }
        })
    }

    /// The cursor where the subscriber starts, and the page there. One stream is read at once; the
    /// pages of many would use too much memory.
    async fn page(
        &self,
        key: &StreamKey,
        request: &SubscribeRequest,
        position: Option<Position>,
    ) -> Result<(Option<EventId>, Page), StoreError> {
        let start = match (position, request.start) {
            (Some(position), _) => position.id(),
            (None, StartPosition::Start) => None,
            (None, start) => self.store.locate(key, start).await?,
        };
        // Nor do subscribers hold a page while they wait for admission: the session reads it.
        let is_unread = request.is_keyed() || self.registry.is_full(key, self.address);
        let page = if is_unread {
            Page::unread(key.clone(), self.store.info(key).await?, start)
        } else {
            self.store.read(key, start).await?
        };
        Ok((start, page))
    }

    /// Resolves when a stream exists at the key.
    fn appearance(&self, key: StreamKey) -> Appearance {
        let appears = self.store.appears(&key);
        Box::pin(appears.map(|info| Page::unread(key, info, None)))
    }

    /// Adds a resolved stream to a subscription.
    pub(super) fn add(&self, subscription: &mut Subscription, stream: ResolvedStream) {
        let ResolvedStream {
            key,
            position,
            state,
        } = stream;
        match state {
            StreamState::Open { page, report } => subscription.add(*page, position, report),
            StreamState::Complete { status, .. } => {
                subscription.add_finished(key, position, status);
            }
            StreamState::Awaited { report } => {
                let appearance = self.appearance(key.clone());
                subscription.add_awaited(key, position, appearance, report);
            }
            StreamState::Deleted => subscription.add_deleted(key, position),
        }
    }

    /// A subscription to these streams.
    pub(super) fn subscription(
        &self,
        request: &SubscribeRequest,
        streams: Vec<ResolvedStream>,
        subscriber: Option<SharedSubscriber>,
    ) -> Subscription {
        let mut subscription = Subscription::new(
            self.store.tails(),
            request.filter.clone(),
            request.is_keyed(),
        )
        .with_rollup(request.rollup.clone())
        .with_script(subscriber.map(|subscriber| Scripted::new(subscriber, self.max_event)));
        for stream in streams {
            self.add(&mut subscription, stream);
        }
        subscription
    }
}

/// Whether the subscriber has everything that there will ever be.
pub(super) fn is_complete(streams: &[ResolvedStream]) -> bool {
    let is_complete =
        |stream: &ResolvedStream| matches!(stream.state, StreamState::Complete { .. });
    streams.iter().all(is_complete)
}
