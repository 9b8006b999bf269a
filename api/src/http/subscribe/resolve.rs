//! Following streams: what comes before the first byte is the same for every transport.

use std::{net::IpAddr, slice, time::Duration};

use futures::{FutureExt, future::try_join_all};

use super::request::SubscribeRequest;
use crate::{
    config::Settings,
    http::{
        error::{ApiError, ErrorCode},
        guards::TokenGrant,
        state::AppState,
        store_error::at,
    },
    session::{Admission, AdmissionRequest, Appearance, Registry, Session, Subscription, Timeouts},
    store::{Page, SharedStore, StoreError},
    stream::{EventId, Position, StartPosition, Status, StreamKey},
    telemetry::metrics::{Refusal, Transport},
};

/// Streams that are looked at at a time for one client.
const CONCURRENT_LOOKUPS: usize = 16;

/// Looks for streams on behalf of a client.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) store: SharedStore,
    pub(super) token: TokenGrant,
    pub(super) max_keys: usize,
    pub(super) registry: Registry,
    pub(super) address: Option<IpAddr>,
}

/// A stream that a client asked for.
pub(super) struct ResolvedStream {
    pub(super) key: StreamKey,
    /// Where the client is in it.
    pub(super) position: Position,
    pub(super) state: Resolution,
}

/// What was found of it.
pub(super) enum Resolution {
    /// There is more to come, from this page on. `tell`: the client does not know where it begins.
    Open { page: Box<Page>, tell: bool },
    /// The client has all of it. It ended so, and is kept for so long.
    Complete { status: Status, ttl: Duration },
    /// It is not there yet. `tell`: the client would begin elsewhere if it came again and did not
    /// say that it waited.
    Awaited { tell: bool },
    /// It is no more.
    Gone,
}

impl Resolver {
    /// Looks at the streams of a wish. Takes no slot.
    ///
    /// Errors: the client may not follow one of them; one is not there; the store fails.
    pub(super) async fn resolve(
        &self,
        request: &SubscribeRequest,
    ) -> Result<Vec<ResolvedStream>, ApiError> {
        request
            .keys
            .iter()
            .try_for_each(|key| self.token.may_follow(key))?;
        self.may_share(&request.keys)?;
        let mut found = Vec::with_capacity(request.keys.len());
        for keys in request.keys.chunks(CONCURRENT_LOOKUPS) {
            let looks: Vec<_> = keys
                .iter()
                .map(|key| self.resolve_one(key, request))
                .collect();
            found.extend(try_join_all(looks).await?);
        }
        let nothing_left = found
            .iter()
            .all(|found| matches!(found.state, Resolution::Gone | Resolution::Complete { .. }));
        if nothing_left
            && found
                .iter()
                .any(|found| matches!(found.state, Resolution::Gone))
        {
            return Err(ApiError::new(
                ErrorCode::StreamNotFound,
                "No stream is left at these keys",
            ));
        }
        Ok(found)
    }

    pub(super) fn may_share(&self, keys: &[StreamKey]) -> Result<(), ApiError> {
        self.store.may_share(keys).map_err(|_| {
            let message = "In exclusive delivery on a Redis Cluster one connection can't follow these keys, which are on several registry; \
                           STREAMER_DELIVERY=shared has no such limit";
            ApiError::new(ErrorCode::CrossSlot, message)
        })
    }

    pub(super) async fn resolve_one(
        &self,
        key: &StreamKey,
        request: &SubscribeRequest,
    ) -> Result<ResolvedStream, ApiError> {
        let known = request.position(key);
        let found = |position, state| {
            Ok(ResolvedStream {
                key: key.clone(),
                position,
                state,
            })
        };
        let (start, page) = match self.page(key, request, known).await {
            Ok(found) => found,
            Err(StoreError::NotFound) => {
                return match known {
                    // Of a client that was cut off while it waited, the cursor may say that it has
                    // nothing yet.
                    None | Some(Position::Start) if request.wait && !self.token.is_bound(key) => {
                        let tell = known.is_none() && request.start != StartPosition::Start;
                        found(Position::Start, Resolution::Awaited { tell })
                    }
                    Some(position @ Position::Complete(_)) if request.is_keyed() => found(
                        position,
                        Resolution::Complete {
                            status: Status::Ended,
                            ttl: Duration::ZERO,
                        },
                    ),
                    Some(position) if request.is_keyed() => found(position, Resolution::Gone),
                    None if request.is_keyed() && request.resumes() => {
                        found(Position::Start, Resolution::Gone)
                    }
                    _ => Err(at(key)(StoreError::NotFound)),
                };
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.token.may_open(key, &page.info) {
            // Another took the place of the one that the client has begun to read, which is no
            // fault of the others.
            return match known {
                Some(position @ Position::Complete(_)) if request.is_keyed() => found(
                    position,
                    Resolution::Complete {
                        status: Status::Ended,
                        ttl: Duration::ZERO,
                    },
                ),
                Some(position) if request.is_keyed() => found(position, Resolution::Gone),
                _ => Err(error),
            };
        }
        if page.info.status != Status::Active && start == Some(page.info.last) {
            return found(
                Position::Complete(page.info.last),
                Resolution::Complete {
                    status: page.info.status,
                    ttl: page.info.ttl,
                },
            );
        }
        let tell = known.is_none() && start.is_some();
        found(
            start.map_or(Position::Start, Position::At),
            Resolution::Open {
                page: Box::new(page),
                tell,
            },
        )
    }

    /// The cursor after which the client begins, and the page there. One stream is read at once; of
    /// many as much would be held in memory.
    pub(super) async fn page(
        &self,
        key: &StreamKey,
        request: &SubscribeRequest,
        known: Option<Position>,
    ) -> Result<(Option<EventId>, Page), StoreError> {
        let start = match (known, request.start) {
            (Some(position), _) => position.id(),
            (None, StartPosition::Start) => None,
            (None, beginning) => self.store.locate(key, beginning).await?,
        };
        // Nor is a page held by each of those that wait for a slot: the session reads it when it
        // has one.
        let page = if request.is_keyed() || self.registry.is_full(key, self.address) {
            Page::unread(key.clone(), self.store.info(key).await?, start)
        } else {
            self.store.read(key, start).await?
        };
        Ok((start, page))
    }

    /// Resolves when there is a stream at the key.
    pub(super) fn appearance(&self, key: StreamKey) -> Appearance {
        let appears = self.store.appears(&key);
        Box::pin(appears.map(|info| Page::unread(key, info, None)))
    }

    /// Adds what was found to what a client reads.
    pub(super) fn add(&self, subscription: &mut Subscription, found: ResolvedStream) {
        let ResolvedStream {
            key,
            position,
            state,
        } = found;
        match state {
            Resolution::Open { page, tell } => subscription.add(*page, position, tell),
            Resolution::Complete { .. } => subscription.add_complete(key, position),
            Resolution::Awaited { tell } => {
                subscription.add_awaited(key.clone(), self.appearance(key), tell);
            }
            Resolution::Gone => subscription.add_gone(key, position),
        }
    }

    pub(super) fn subscription(
        &self,
        request: &SubscribeRequest,
        found: Vec<ResolvedStream>,
    ) -> Subscription {
        let mut subscription = Subscription::new(
            self.store.tails(),
            request.filter.clone(),
            request.is_keyed(),
        );
        for found in found {
            self.add(&mut subscription, found);
        }
        subscription
    }
}

/// Whether the client has all there will ever be.
pub(super) fn is_complete(found: &[ResolvedStream]) -> bool {
    found
        .iter()
        .all(|found| matches!(found.state, Resolution::Complete { .. }))
}

/// The streams of which there may be more to come: a client that has all of a stream does not
/// follow it any more.
pub(super) fn followed(readings: &[Subscription]) -> Vec<StreamKey> {
    let streams = readings
        .iter()
        .flat_map(Subscription::streams)
        .filter(|stream| !stream.is_over());
    streams.map(|stream| stream.key.clone()).collect()
}

impl AppState<'_> {
    pub(super) fn resolver(&self, token: &TokenGrant) -> Resolver {
        Resolver {
            store: SharedStore::clone(self.store),
            token: token.clone(),
            max_keys: self.settings.max_keys_per_client,
            registry: self.registry.clone(),
            address: self.address,
        }
    }

    /// Takes a slot for what a client of this transport reads. Where the client holds something
    /// scarce, silence is broken after `probe` at the latest.
    pub(super) async fn follow(
        &self,
        subscription: Subscription,
        request: &SubscribeRequest,
        transport: Transport,
        probe: Option<Duration>,
    ) -> Result<Session, ApiError> {
        let metrics = self.metrics.clients(transport);
        if self.lifecycle.is_closing() {
            metrics.refuse(Refusal::Shutdown);
            return Err(ApiError::new(
                ErrorCode::ShuttingDown,
                "The broker is stopping; connect to another node",
            ));
        }
        let timeouts = self.timeouts(probe.filter(|_| subscription.is_scarce()));
        let admission = self
            .permit(
                followed(slice::from_ref(&subscription)),
                request,
                transport,
                timeouts,
            )
            .await?;
        if request.resumes() {
            metrics.resumes.inc();
        }
        Ok(Session::new(
            subscription,
            admission,
            self.settings.store_patience,
        ))
    }

    /// The times that a client's connection keeps; silence is broken after `probe` at the latest.
    pub(super) fn timeouts(&self, probe: Option<Duration>) -> Timeouts {
        let Settings {
            heartbeat,
            client_timeout: idle,
            ..
        } = *self.settings;
        Timeouts {
            heartbeat: probe.map_or(heartbeat, |probe| probe.min(heartbeat)),
            idle,
        }
    }

    /// Takes a slot for what a client of this transport reads.
    pub(super) async fn permit(
        &self,
        keys: Vec<StreamKey>,
        request: &SubscribeRequest,
        transport: Transport,
        timeouts: Timeouts,
    ) -> Result<Admission, ApiError> {
        let metadata = request
            .name_and_tags
            .clone()
            .over(transport, request.filter.as_ref());
        let request = AdmissionRequest {
            keys,
            address: self.address,
            metadata,
        };
        let admission = self
            .registry
            .claim(request, timeouts, self.metrics.clients(transport))
            .await;
        admission.map_err(|full| ApiError::new(ErrorCode::TooManyClients, full.to_string()))
    }
}
