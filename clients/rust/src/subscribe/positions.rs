//! The streams that a subscription follows, and where it is in them.

use std::collections::BTreeMap;

use super::{
    cursor::{Position, Positions},
    frame::{Frame, NamedData},
    missed::MissedTotal,
    order::Order,
};
use crate::{Error, Event, Status};

/// From where a stream is followed for which there is no position.
#[derive(Clone, Debug, Default)]
pub(super) struct Begin {
    /// As the broker takes it; None: its first event.
    pub(super) from: Option<String>,
    /// Whether to wait until it exists.
    pub(super) wait: bool,
}

/// What is asked of a connection.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    pub(super) keys: Vec<String>,
    pub(super) cursor: Option<String>,
    pub(super) begin: Begin,
}

/// The streams that a subscription follows.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    followed: BTreeMap<String, Followed>,
    positions: Positions,
    is_filtered: bool,
    /// The connection's stream, where it has one only: its frames need not say which it is.
    only: Option<String>,
}

#[derive(Clone, Debug)]
struct Followed {
    order: Order,
    begin: Begin,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more comes. Why is not known where that was so from the beginning.
    Over(Option<Status>),
}

impl Streams {
    pub(super) fn new(
        keys: Vec<String>,
        positions: Positions,
        begin: &Begin,
        is_filtered: bool,
    ) -> Self {
        let mut streams = Self {
            followed: BTreeMap::new(),
            positions,
            is_filtered,
            only: None,
        };
        for key in keys {
            streams.follow(key, begin.clone());
        }
        streams
    }

    /// Follows one more, after an event or as `begin` has it.
    pub(super) fn add(&mut self, key: String, after: Option<String>, begin: Begin) {
        // The compact form may tell of a time when the stream was followed before; what is known
        // counts more.
        let is_told = !self.positions.compact.is_empty() && is_start(&begin) && !begin.wait;
        if after.is_some() || is_told {
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
        self.follow(key, begin);
    }

    fn follow(&mut self, key: String, begin: Begin) {
        let position = self.positions.known.get(&key);
        let order = match position {
            Some(position) => Order::after(position.id.clone(), self.is_filtered),
            None if self.positions.compact.is_empty() && is_start(&begin) => {
                Order::after(None, self.is_filtered)
            }
            None => Order::unknown(self.is_filtered),
        };
        let state = if position.is_some_and(|position| position.is_last) {
            State::Over(None)
        } else {
            State::Open
        };
        self.followed.insert(
            key,
            Followed {
                order,
                begin,
                state,
            },
        );
    }

    /// Follows one no more. The position in it, if there is one.
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

    /// Where to go on, over a new connection.
    pub(super) fn resume(&mut self, is_keyed: bool) -> Resume {
        let keys: Vec<String> = self.open().map(|(key, _)| key.clone()).collect();
        self.only = if let [key] = &*keys {
            Some(key.clone())
        } else {
            None
        };
        let mut begin = Begin::default();
        for (key, followed) in self
            .followed
            .iter_mut()
            .filter(|(_, followed)| followed.state == State::Open)
        {
            followed.order.resume();
            begin.wait |= followed.begin.wait;
            if !self.positions.known.contains_key(key) {
                begin.from = followed.begin.from.clone().or(begin.from);
            }
        }
        let id = self.only.as_deref().and_then(|key| self.last_id(key));
        // One stream's id is enough, unless it has none as it was waited for.
        let cursor = if let (false, Some(id)) = (is_keyed, id) {
            Some(id.to_owned())
        } else {
            self.cursor()
        };
        Resume {
            keys,
            cursor,
            begin,
        }
    }

    /// Takes note of what came; an event, perhaps.
    pub(super) fn receive(&mut self, frame: Frame) -> Result<Option<Event>, Error> {
        let Some(key) = frame.key.or_else(|| self.only.clone()) else {
            return Err(Error::InvalidAnswer(
                "a frame that does not say which stream it is from".to_owned(),
            ));
        };
        let Some(followed) = self.followed.get_mut(&key) else {
            return Err(Error::InvalidAnswer(format!(
                "a frame of the stream {key:?}, which was not asked for"
            )));
        };
        let mut is_last = followed.state != State::Open;
        let event = match frame.event {
            Some(_) if is_last => {
                return Err(Error::InvalidAnswer(format!(
                    "an event after the last of the stream {key:?}"
                )));
            }
            Some(NamedData { name, data }) => {
                let event = Event::received(key.clone(), frame.id.clone(), name, data)?;
                followed.order.check(&event)?;
                if let Some(status) = event.finishes() {
                    followed.state = State::Over(Some(status));
                    is_last = true;
                }
                Some(event)
            }
            None => {
                if let Some(id) = &frame.id {
                    followed.order.move_to(id)?;
                }
                None
            }
        };
        if let Some(id) = frame.id {
            if let Some(positions) = frame.positions {
                self.go_to(positions);
            }
            self.positions.known.insert(
                key,
                Position {
                    id: Some(id),
                    is_last,
                },
            );
            self.forget_compact();
        }
        Ok(event)
    }

    /// Takes note of where all of an answer's streams are.
    pub(super) fn answered(&mut self, cursor: &str) -> Result<(), Error> {
        match (&self.only, Positions::read(cursor)) {
            (_, Some(positions)) => {
                self.go_to(positions);
                self.forget_compact();
            }
            (Some(key), None) => {
                let frame = Frame {
                    key: Some(key.clone()),
                    id: Some(cursor.to_owned()),
                    event: None,
                    positions: None,
                    retry: None,
                };
                self.receive(frame)?;
            }
            (None, None) => return Err(Error::InvalidAnswer(format!("{cursor:?} is no cursor"))),
        }
        Ok(())
    }

    /// Goes to where the streams of the connection are. Of those that were over before it, it does
    /// not tell.
    fn go_to(&mut self, positions: Positions) {
        let before = std::mem::replace(&mut self.positions, positions);
        for (key, position) in before.known {
            if self
                .followed
                .get(&key)
                .is_some_and(|followed| followed.state != State::Open)
            {
                self.positions.known.entry(key).or_insert(position);
            }
        }
    }

    /// Where all is known, the compact form says nothing, or what is no longer so.
    fn forget_compact(&mut self) {
        if self
            .followed
            .keys()
            .all(|key| self.positions.known.contains_key(key))
        {
            self.positions.compact.clear();
        }
    }

    /// The broker has told all there is: what has no position by now does not exist yet. It is to
    /// be handed out from its first event on, also where others began elsewhere.
    pub(super) fn wait(&mut self) {
        if !self.positions.compact.is_empty() {
            return;
        }
        for (key, followed) in self
            .followed
            .iter_mut()
            .filter(|(_, followed)| followed.begin.wait && !is_start(&followed.begin))
        {
            if !self.positions.known.contains_key(key) {
                self.positions.known.insert(
                    key.clone(),
                    Position {
                        id: None,
                        is_last: false,
                    },
                );
                followed.order = Order::after(None, self.is_filtered);
            }
        }
    }

    /// There is nothing more to come of those that are open.
    pub(super) fn close(&mut self) {
        for followed in self
            .followed
            .values_mut()
            .filter(|followed| followed.state == State::Open)
        {
            followed.state = State::Over(None);
        }
    }

    pub(super) fn is_open(&self, key: &str) -> bool {
        self.followed
            .get(key)
            .is_some_and(|followed| followed.state == State::Open)
    }

    pub(super) fn open_count(&self) -> usize {
        self.open().count()
    }

    /// Whether there are any, open or not.
    pub(super) fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }

    pub(super) fn statuses(&self) -> BTreeMap<String, Option<Status>> {
        self.followed
            .iter()
            .map(|(key, followed)| (key.clone(), followed.status()))
            .collect()
    }

    pub(super) fn status(&self, key: &str) -> Option<Status> {
        self.followed.get(key)?.status()
    }

    /// The events that are missing in all streams that were not dropped.
    pub(super) fn missed(&self) -> Option<MissedTotal> {
        MissedTotal::sum(
            self.followed
                .values()
                .filter_map(|followed| followed.order.missed.total()),
        )
    }

    pub(super) fn last_id(&self, key: &str) -> Option<&str> {
        self.positions.known.get(key)?.id.as_deref()
    }

    pub(super) fn cursor(&self) -> Option<String> {
        (!self.positions.is_empty()).then(|| self.positions.to_string())
    }

    fn open(&self) -> impl Iterator<Item = (&String, &Followed)> {
        self.followed
            .iter()
            .filter(|(_, followed)| followed.state == State::Open)
    }
}

impl Followed {
    fn status(&self) -> Option<Status> {
        if let State::Over(status) = self.state {
            status
        } else {
            None
        }
    }
}

fn is_start(begin: &Begin) -> bool {
    begin.from.as_deref().is_none_or(|from| from == "start")
}
