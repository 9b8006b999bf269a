//! Following streams: what comes before the first byte is the same for every transport.

use std::{net::IpAddr, slice, time::Duration};

use futures::{FutureExt, future::try_join_all};

use self::wish::Wish;
use crate::{
    auth::guard::Client,
    config::Settings,
    error::{ApiError, ErrorCode},
    event::{EventId, Status, StreamKey},
    feed::{Appearance, Feed, Newcomer, Pace, Reading, Slot, Slots},
    metrics::{Refusal, Transport},
    routes::{at, broker::Broker},
    store::{Beginning, Page, SharedStore, StoreError},
    wire::cursor::Position,
};

pub(crate) use self::profile::MAX_NAME_BYTES as MAX_CLIENT_NAME_BYTES;

mod frames;
mod freshness;
pub mod ndjson;
mod ops;
pub mod poll;
mod profile;
pub mod sse;
mod wish;
pub mod ws;

/// Streams that are looked at at a time for one client.
const LOOKS: usize = 16;

/// Looks for streams on behalf of a client.
#[derive(Clone)]
struct Lookout {
    store: SharedStore,
    client: Client,
    max_keys: usize,
    slots: Slots,
    address: Option<IpAddr>,
}

/// A stream that a client asked for.
struct Found {
    key: StreamKey,
    /// Where the client is in it.
    position: Position,
    state: State,
}

/// What was found of it.
enum State {
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

impl Lookout {
    /// Looks at the streams of a wish. Takes no slot.
    ///
    /// Errors: the client may not follow one of them; one is not there; the store fails.
    async fn look(&self, wish: &Wish) -> Result<Vec<Found>, ApiError> {
        wish.keys
            .iter()
            .try_for_each(|key| self.client.may_follow(key))?;
        self.may_share(&wish.keys)?;
        let mut found = Vec::with_capacity(wish.keys.len());
        for keys in wish.keys.chunks(LOOKS) {
            let looks: Vec<_> = keys.iter().map(|key| self.look_at(key, wish)).collect();
            found.extend(try_join_all(looks).await?);
        }
        let nothing_left = found
            .iter()
            .all(|found| matches!(found.state, State::Gone | State::Complete { .. }));
        if nothing_left && found.iter().any(|found| matches!(found.state, State::Gone)) {
            return Err(ApiError::new(
                ErrorCode::StreamNotFound,
                "No stream is left at these keys",
            ));
        }
        Ok(found)
    }

    fn may_share(&self, keys: &[StreamKey]) -> Result<(), ApiError> {
        self.store.may_share(keys).map_err(|_| {
            let message = "In exclusive delivery on a Redis Cluster one connection can't follow these keys, which are on several slots; \
                           STREAMER_DELIVERY=shared has no such limit";
            ApiError::new(ErrorCode::CrossSlot, message)
        })
    }

    async fn look_at(&self, key: &StreamKey, wish: &Wish) -> Result<Found, ApiError> {
        let known = wish.position(key);
        let found = |position, state| {
            Ok(Found {
                key: key.clone(),
                position,
                state,
            })
        };
        let (start, page) = match self.page(key, wish, known).await {
            Ok(found) => found,
            Err(StoreError::NotFound) => {
                return match known {
                    // Of a client that was cut off while it waited, the cursor may say that it has
                    // nothing yet.
                    None | Some(Position::Beginning) if wish.wait && !self.client.is_bound(key) => {
                        let tell = known.is_none() && wish.beginning != Beginning::Start;
                        found(Position::Beginning, State::Awaited { tell })
                    }
                    Some(position @ Position::Complete(_)) if wish.is_keyed() => found(
                        position,
                        State::Complete {
                            status: Status::Ended,
                            ttl: Duration::ZERO,
                        },
                    ),
                    Some(position) if wish.is_keyed() => found(position, State::Gone),
                    None if wish.is_keyed() && wish.resumes() => {
                        found(Position::Beginning, State::Gone)
                    }
                    _ => Err(at(key)(StoreError::NotFound)),
                };
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.client.may_open(key, &page.info) {
            // Another took the place of the one that the client has begun to read, which is no
            // fault of the others.
            return match known {
                Some(position @ Position::Complete(_)) if wish.is_keyed() => found(
                    position,
                    State::Complete {
                        status: Status::Ended,
                        ttl: Duration::ZERO,
                    },
                ),
                Some(position) if wish.is_keyed() => found(position, State::Gone),
                _ => Err(error),
            };
        }
        if page.info.status != Status::Active && start == Some(page.info.last) {
            return found(
                Position::Complete(page.info.last),
                State::Complete {
                    status: page.info.status,
                    ttl: page.info.ttl,
                },
            );
        }
        let tell = known.is_none() && start.is_some();
        found(
            start.map_or(Position::Beginning, Position::At),
            State::Open {
                page: Box::new(page),
                tell,
            },
        )
    }

    /// The cursor after which the client begins, and the page there. One stream is read at once; of
    /// many as much would be held in memory.
    async fn page(
        &self,
        key: &StreamKey,
        wish: &Wish,
        known: Option<Position>,
    ) -> Result<(Option<EventId>, Page), StoreError> {
        let start = match (known, wish.beginning) {
            (Some(position), _) => position.id(),
            (None, Beginning::Start) => None,
            (None, beginning) => self.store.locate(key, beginning).await?,
        };
        // Nor is a page held by each of those that wait for a slot: the session reads it when it
        // has one.
        let page = if wish.is_keyed() || self.slots.is_full(key, self.address) {
            Page::unread(key.clone(), self.store.info(key).await?, start)
        } else {
            self.store.read(key, start).await?
        };
        Ok((start, page))
    }

    /// Resolves when there is a stream at the key.
    fn appearance(&self, key: StreamKey) -> Appearance {
        let appears = self.store.appears(&key);
        Box::pin(appears.map(|info| Page::unread(key, info, None)))
    }

    /// Adds what was found to what a client reads.
    fn add(&self, reading: &mut Reading, found: Found) {
        let Found {
            key,
            position,
            state,
        } = found;
        match state {
            State::Open { page, tell } => reading.add(*page, position, tell),
            State::Complete { .. } => reading.add_complete(key, position),
            State::Awaited { tell } => reading.add_awaited(key.clone(), self.appearance(key), tell),
            State::Gone => reading.add_gone(key, position),
        }
    }

    fn reading(&self, wish: &Wish, found: Vec<Found>) -> Reading {
        let mut reading = Reading::new(self.store.tails(), wish.filter.clone(), wish.is_keyed());
        for found in found {
            self.add(&mut reading, found);
        }
        reading
    }
}

/// Whether the client has all there will ever be.
fn is_complete(found: &[Found]) -> bool {
    found
        .iter()
        .all(|found| matches!(found.state, State::Complete { .. }))
}

/// The streams of which there may be more to come: a client that has all of a stream does not
/// follow it any more.
fn followed(readings: &[Reading]) -> Vec<StreamKey> {
    let streams = readings
        .iter()
        .flat_map(Reading::streams)
        .filter(|stream| !stream.is_over());
    streams.map(|stream| stream.key.clone()).collect()
}

impl Broker<'_> {
    fn lookout(&self, client: &Client) -> Lookout {
        Lookout {
            store: SharedStore::clone(self.store),
            client: client.clone(),
            max_keys: self.settings.max_keys_per_client,
            slots: self.slots.clone(),
            address: self.address,
        }
    }

    /// Takes a slot for what a client of this transport reads. Where the client holds something
    /// scarce, silence is broken after `probe` at the latest.
    async fn follow(
        &self,
        reading: Reading,
        wish: &Wish,
        transport: Transport,
        probe: Option<Duration>,
    ) -> Result<Feed, ApiError> {
        let metrics = self.metrics.clients(transport);
        if self.lifecycle.is_closing() {
            metrics.refuse(Refusal::Shutdown);
            return Err(ApiError::new(
                ErrorCode::ShuttingDown,
                "The broker is stopping; connect to another node",
            ));
        }
        let pace = self.pace(probe.filter(|_| reading.is_scarce()));
        let slot = self
            .permit(followed(slice::from_ref(&reading)), wish, transport, pace)
            .await?;
        if wish.resumes() {
            metrics.resumes.inc();
        }
        Ok(Feed::new(reading, slot, self.settings.store_patience))
    }

    /// The times that a client's connection keeps; silence is broken after `probe` at the latest.
    fn pace(&self, probe: Option<Duration>) -> Pace {
        let Settings {
            heartbeat,
            client_timeout: idle,
            ..
        } = *self.settings;
        Pace {
            heartbeat: probe.map_or(heartbeat, |probe| probe.min(heartbeat)),
            idle,
        }
    }

    /// Takes a slot for what a client of this transport reads.
    async fn permit(
        &self,
        keys: Vec<StreamKey>,
        wish: &Wish,
        transport: Transport,
        pace: Pace,
    ) -> Result<Slot, ApiError> {
        let profile = wish
            .introduction
            .clone()
            .over(transport, wish.filter.as_ref());
        let newcomer = Newcomer {
            keys,
            address: self.address,
            profile,
        };
        let slot = self
            .slots
            .claim(newcomer, pace, self.metrics.clients(transport))
            .await;
        slot.map_err(|full| ApiError::new(ErrorCode::TooManyClients, full.to_string()))
    }
}
