//! The first message of a WebSocket: the array of all events so far.

use rocket_ws::{Message, frame::Frame};
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// The first message. The array may be long. So it is sent in fragments ([RFC 6455,
/// 5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4)), batch by batch, as one message. No
/// more than a batch of it is in memory.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum FirstMessage {
    /// Nothing was sent.
    #[default]
    Pending,
    /// Its first fragment was sent.
    Open,
    /// It was sent. Events are messages of their own now.
    Complete,
}

impl FirstMessage {
    /// Bytes of a fragment after which the next event begins another fragment.
    pub(super) const FRAGMENT: usize = 256 << 10;

    pub(super) fn is_complete(self) -> bool {
        self == Self::Complete
    }

    /// The empty array, for a subscriber that has all events so far.
    pub(super) fn send_empty(&mut self) -> Message {
        *self = Self::Complete;
        Message::Text("[]".to_owned())
    }

    /// Events as fragments; there may be none. With `is_last` the array ends with them.
    pub(super) fn fragments(&mut self, events: &[String], is_last: bool) -> Vec<Message> {
        let is_first = *self == Self::Pending;
        let fragments = fragments(events, is_first, is_last);
        if is_last {
            *self = Self::Complete;
        } else if !fragments.is_empty() {
            *self = Self::Open;
        }
        fragments
    }
}

fn fragments(events: &[String], is_first: bool, is_last: bool) -> Vec<Message> {
    if events.is_empty() && !is_last {
        return Vec::new();
    }
    let mut texts = Vec::with_capacity(1);
    let mut text = String::new();
    let mut separator = if is_first { "[" } else { "," };
    if is_first && events.is_empty() {
        text.push('[');
    }
    for event in events {
        if text.len() >= FirstMessage::FRAGMENT {
            texts.push(std::mem::take(&mut text));
        }
        text.push_str(separator);
        text.push_str(event);
        separator = ",";
    }
    if is_last {
        text.push(']');
    }
    texts.push(text);
    let last = texts.len() - 1;
    let frame = |(index, text): (usize, String)| {
        let kind = if is_first && index == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let is_final = is_last && index == last;
        Message::Frame(Frame::message(
            text.into_bytes(),
            OpCode::Data(kind),
            is_final,
        ))
    };
    texts.into_iter().enumerate().map(frame).collect()
}
