//! Parses what a subscriber has received, and records its position.

use eventsource_stream::Eventsource;
use futures::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Connection, Subscriber, Transport, Update};

impl Subscriber {
    /// Records the position behind this update.
    pub(super) fn note(&mut self, update: &Update, cursor: Option<String>) {
        match self.transport {
            Transport::Sse => {
                self.cursor = cursor
                    .filter(|cursor| !cursor.is_empty())
                    .unwrap_or(std::mem::take(&mut self.cursor));
            }
            Transport::Poll => {}
            Transport::Ws | Transport::Ndjson => {
                if let Some(id) = &update.id {
                    self.positions.insert(update.key.clone(), id.clone());
                } else if let Value::Object(gap) = update.missed()
                    && gap["first"].is_null()
                    && let Some(last) = gap["after"].as_str()
                {
                    // The stream was deleted, and the broker need not report that again.
                    self.positions
                        .insert(update.key.clone(), format!("{last}!"));
                }
            }
        }
    }

    pub(super) fn take(&mut self, objects: &[Value]) {
        for object in objects {
            let text = |name: &str| object[name].as_str().map(ToOwned::to_owned);
            let key = text("key").unwrap_or_else(|| self.keys[0].clone());
            let is_keyed = self.transport != Transport::Ws || self.keys.len() > 1;
            assert_eq!(object.get("key").is_some(), is_keyed, "{object}");
            let update = Update {
                key,
                id: text("id"),
                event: text("event"),
                data: text("data").unwrap_or_default(),
            };
            self.received.push_back((update, None));
        }
    }

    /// Parses the complete part of the received data.
    pub(super) async fn read(&mut self) {
        let end: &[u8] = if self.transport == Transport::Sse {
            b"\n\n"
        } else {
            b"\n"
        };
        loop {
            let Some(Connection::Bytes(_, unread)) = &mut self.connection else {
                return;
            };
            let Some(at) = unread.windows(end.len()).position(|window| window == end) else {
                return;
            };
            let piece: Vec<u8> = unread.drain(..at + end.len()).collect();
            if self.transport == Transport::Sse {
                self.read_block(&String::from_utf8(piece).expect("UTF-8"))
                    .await;
            } else if piece != b"\n" {
                self.take(&[serde_json::from_slice(&piece).expect("a line is JSON")]);
            }
        }
    }

    /// Parses a block: an event, a position or a comment.
    async fn read_block(&mut self, block: &str) {
        let events: Vec<_> = stream::iter([Ok::<_, std::io::Error>(block)])
            .eventsource()
            .collect()
            .await;
        let position = block
            .lines()
            .find_map(|line| line.strip_prefix("id: "))
            .filter(|_| events.is_empty());
        for event in events {
            let event = event.expect("an event");
            let (key, id) = self.frame_of(&event.id);
            let id = id.filter(|_| event.event != "missedevents");
            self.received.push_back((
                Update {
                    key,
                    id,
                    event: Some(event.event),
                    data: event.data,
                },
                Some(event.id),
            ));
        }
        if let Some(cursor) = position {
            let (key, id) = self.frame_of(cursor);
            self.received.push_back((
                Update {
                    key,
                    id,
                    event: None,
                    data: String::new(),
                },
                Some(cursor.to_owned()),
            ));
        }
    }

    /// The stream of a frame and its own id, found as the documentation describes.
    fn frame_of(&self, id: &str) -> (String, Option<String>) {
        let is_keyed = self.keys.len() > 1;
        if !is_keyed {
            return (
                self.keys[0].clone(),
                (!id.is_empty()).then(|| id.to_owned()),
            );
        }
        let (key, own) = id
            .split(',')
            .next()
            .expect("a first")
            .split_once(':')
            .expect("a frame's stream");
        let own = own.trim_end_matches('!');
        (
            percent_decode_str(key)
                .decode_utf8()
                .expect("UTF-8")
                .into_owned(),
            (!own.is_empty()).then(|| own.to_owned()),
        )
    }
}
