//! The streams that a subscription follows, and its position in each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    attempt::{Attempt, StartPosition},
    cursor::{Position, Positions},
    frame::{Ending, Frame, NamedData},
    missed::MissedTotal,
    one_stream::{OneStream, Phase},
    reason::Reason,
    sequence::SequenceCheck,
};
use crate::{Error, Event, Status};

/// The streams of a subscription, which its follower changes and its caller reads.
#[derive(Clone)]
pub(super) struct SharedStreams(Arc<Mutex<ManyStreams>>);

impl SharedStreams {
    pub(super) fn new(streams: ManyStreams) -> Self {
        Self(Arc::new(Mutex::new(streams)))
    }

    /// Never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, ManyStreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams that a subscription follows, one or several.
#[derive(Clone, Debug)]
pub(super) struct ManyStreams {
    followed: BTreeMap<String, OneStream>,
    positions: Positions,
    /// Whether the subscription has an event names filter.
    is_filtered: bool,
    /// The stream of a connection that has only one: its frames may have no key.
    only: Option<String>,
}

impl ManyStreams {
    pub(super) fn new(
        keys: Vec<String>,
        positions: Positions,
        start: &StartPosition,
        is_filtered: bool,
    ) -> Self {
        let mut streams = Self {
            followed: BTreeMap::new(),
            positions,
            is_filtered,
            only: None,
        };
        for key in keys {
            streams.follow(key, start.clone());
        }
        streams
    }

    /// Adds a stream, after an event or from its start position.
    pub(super) fn add(&mut self, key: String, after: Option<String>, start: StartPosition) {
        // The compact form may hold an old position, from when the stream was followed before. A
        // known position takes precedence.
        let from_first =
            !self.positions.compact.is_empty() && start.is_first_event() && !start.wait;
        if after.is_some() || from_first {
            self.positions.known.insert(
                key.clone(),
                Position {
                    id: after,
                    is_last: false,
                },
            );
        } else {
            self.positions.known.remove(&key);
        }
        self.follow(key, start);
    }

    fn follow(&mut self, key: String, start: StartPosition) {
        let position = self.positions.known.get(&key);
        let sequence = match position {
            Some(position) => SequenceCheck::after(position.id.clone(), self.is_filtered),
            None if self.positions.compact.is_empty() && start.is_first_event() => {
                SequenceCheck::after(None, self.is_filtered)
            }
            None => SequenceCheck::unknown(self.is_filtered),
        };
        let phase = if position.is_some_and(|position| position.is_last) {
            Phase::Over(None)
        } else {
            Phase::Open
        };
        self.followed.insert(
            key,
            OneStream {
                sequence,
                start,
                phase,
                may_be: None,
                reason: None,
            },
        );
    }

    /// Drops a stream. Returns the position in it, if there is one.
    pub(super) fn remove(&mut self, key: &str) -> Result<Option<String>, Error> {
        if self.followed.remove(key).is_none() {
            return Err(Error::refused(
                "not-subscribed",
                format!("The stream {key:?} is not followed"),
            ));
        }
        Ok(self
            .positions
            .known
            .remove(key)
            .and_then(|position| position.id))
    }

    /// The inputs of the next attempt to connect: it continues at the current positions.
    pub(super) fn attempt(&mut self, is_keyed: bool) -> Attempt {
        let keys: Vec<String> = self.open().map(|(key, _)| key.clone()).collect();
        self.only = if let [key] = &*keys {
            Some(key.clone())
        } else {
            None
        };
        let mut start = StartPosition::default();
        for (key, stream) in self
            .followed
            .iter_mut()
            .filter(|(_, stream)| stream.phase == Phase::Open)
        {
            stream.sequence.reconnect();
            start.wait |= stream.start.wait;
            if !self.positions.known.contains_key(key) {
                start.from = stream.start.from.clone().or(start.from);
            }
        }
        let id = self.only.as_deref().and_then(|key| self.last_id(key));
        // For one stream its last id is enough. A stream that was waited for may have none.
        let cursor = if let (false, Some(id)) = (is_keyed, id) {
            Some(id.to_owned())
        } else {
            self.cursor()
        };
        Attempt {
            keys,
            cursor,
            start,
        }
    }

    /// Records the position in a frame. Returns its event if it holds one.
    pub(super) fn receive(&mut self, frame: Frame) -> Result<Option<Event>, Error> {
        let Some(key) = frame.key.or_else(|| self.only.clone()) else {
            return Err(Error::InvalidAnswer(
                "a frame that does not say which stream it is from".to_owned(),
            ));
        };
        let Some(stream) = self.followed.get_mut(&key) else {
            return Err(Error::InvalidAnswer(format!(
                "a frame of the stream {key:?}, which was not asked for"
            )));
        };
        let mut is_last = stream.phase != Phase::Open;
        let event = match frame.event {
            Some(_) if is_last => {
                return Err(Error::InvalidAnswer(format!(
                    "an event after the last of the stream {key:?}"
                )));
            }
            Some(NamedData { name, data }) => {
                let (id, count) = (frame.id.clone(), frame.count);
                let event = Event::received(key.clone(), id, name, data, count)?;
                stream.sequence.check(&event)?;
                is_last = stream.note_end(&event, frame.ending);
                Some(event)
            }
            None => {
                if let Some(id) = &frame.id {
                    stream.sequence.move_to(id)?;
                }
                None
            }
        };
        if let Some(id) = frame.id {
            if let Some(positions) = frame.positions {
                self.replace_positions(positions);
            }
            self.positions.known.insert(
                key,
                Position {
                    id: Some(id),
                    is_last,
                },
            );
            self.remove_compact();
        }
        Ok(event)
    }

    /// Records the cursor at the end of a poll's response.
    pub(super) fn receive_cursor(&mut self, cursor: &str) -> Result<(), Error> {
        match (&self.only, Positions::parse(cursor)) {
            (_, Some(positions)) => {
                self.replace_positions(positions);
                self.remove_compact();
            }
            (Some(key), None) => {
                let frame = Frame {
                    key: Some(key.clone()),
                    id: Some(cursor.to_owned()),
                    event: None,
                    count: 1,
                    ending: Ending::Unsaid,
                    positions: None,
                    retry: None,
                };
                self.receive(frame)?;
            }
            (None, None) => return Err(Error::InvalidAnswer(format!("{cursor:?} is no cursor"))),
        }
        Ok(())
    }

    /// Takes the positions of a connection's streams. The connection does not include the streams
    /// that were over before it, whose positions stay.
    fn replace_positions(&mut self, positions: Positions) {
        let before = std::mem::replace(&mut self.positions, positions);
        for (key, position) in before.known {
            if self
                .followed
                .get(&key)
                .is_some_and(|stream| stream.phase != Phase::Open)
            {
                self.positions.known.entry(key).or_insert(position);
            }
        }
    }

    /// Removes the compact form once all positions are known: it holds nothing more, or old
    /// positions.
    fn remove_compact(&mut self) {
        if self
            .followed
            .keys()
            .all(|key| self.positions.known.contains_key(key))
        {
            self.positions.compact.clear();
        }
    }

    /// Handles a heartbeat: the broker has sent all stored events. A stream without a position does
    /// not exist yet. It starts with its first event, also when `from` says otherwise.
    pub(super) fn heartbeat(&mut self) {
        if !self.positions.compact.is_empty() {
            return;
        }
        for (key, stream) in self
            .followed
            .iter_mut()
            .filter(|(_, stream)| stream.start.wait && !stream.start.is_first_event())
        {
            if !self.positions.known.contains_key(key) {
                self.positions.known.insert(
                    key.clone(),
                    Position {
                        id: None,
                        is_last: false,
                    },
                );
                stream.sequence = SequenceCheck::after(None, self.is_filtered);
            }
        }
    }

    /// Closes all open streams: the broker has no more events for them.
    pub(super) fn close(&mut self) {
        for stream in self
            .followed
            .values_mut()
            .filter(|stream| stream.phase == Phase::Open)
        {
            let may_be = stream.may_be.take();
            stream.phase = Phase::Over(may_be.as_ref().map(|(status, _)| *status));
            stream.reason = may_be.and_then(|(_, reason)| reason);
        }
    }

    /// Whether the next connection is to tell whether a stream is over.
    pub(super) fn may_be_over(&self) -> bool {
        self.open().any(|(_, stream)| stream.may_be.is_some())
    }

    pub(super) fn is_open(&self, key: &str) -> bool {
        self.followed
            .get(key)
            .is_some_and(|stream| stream.phase == Phase::Open)
    }

    pub(super) fn open_count(&self) -> usize {
        self.open().count()
    }

    /// Whether the subscription has no streams, open or not.
    pub(super) fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }

    pub(super) fn statuses(&self) -> BTreeMap<String, Option<Status>> {
        self.followed
            .iter()
            .map(|(key, stream)| (key.clone(), stream.status()))
            .collect()
    }

    pub(super) fn status(&self, key: &str) -> Option<Status> {
        self.followed.get(key)?.status()
    }

    pub(super) fn reasons(&self) -> BTreeMap<String, Option<Reason>> {
        self.followed
            .iter()
            .map(|(key, stream)| (key.clone(), stream.reason.clone()))
            .collect()
    }

    pub(super) fn reason(&self, key: &str) -> Option<&Reason> {
        self.followed.get(key)?.reason.as_ref()
    }

    /// The key of the stream of a subscription that has only one. None before it is known.
    pub(super) fn first_key(&self) -> Option<&str> {
        self.followed.keys().next().map(String::as_str)
    }

    /// The missing events of all streams that were not dropped.
    pub(super) fn missed(&self) -> Option<MissedTotal> {
        MissedTotal::sum(
            self.followed
                .values()
                .filter_map(|stream| stream.sequence.missed()),
        )
    }

    pub(super) fn last_id(&self, key: &str) -> Option<&str> {
        self.positions.known.get(key)?.id.as_deref()
    }

    pub(super) fn cursor(&self) -> Option<String> {
        (!self.positions.is_empty()).then(|| self.positions.to_string())
    }

    fn open(&self) -> impl Iterator<Item = (&String, &OneStream)> {
        self.followed
            .iter()
            .filter(|(_, stream)| stream.phase == Phase::Open)
    }
}
