//! What a WebSocket client may say while it is connected: that it wants one more stream, or one less.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Found, Lookout, State,
    wish::{self, Wish},
};
use crate::{
    error::{ApiError, ErrorCode},
    event::{EventId, StreamKey},
    feed::Feed,
    routes::params::stream_key,
    store::Beginning,
    wire::json,
};

/// A client's request.
#[derive(Debug)]
pub(super) struct Op {
    is_subscribe: bool,
    /// As it was sent; what it says is looked at when it is done.
    fields: Value,
}

#[derive(Deserialize)]
struct Fields {
    key: String,
    after: Option<String>,
    from: Option<String>,
    #[serde(default)]
    wait: bool,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Answer<'a> {
    Subscribed { key: &'a str, after: Option<EventId> },
    Unsubscribed { key: &'a str, after: Option<EventId> },
    Error { key: Option<&'a str>, code: &'static str, message: &'a str },
}

impl Op {
    /// Reads a message; whatever is not a request is ignored.
    pub(super) fn read(message: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(message).ok()?;
        let is_subscribe = match fields.get("op")?.as_str()? {
            "subscribe" => true,
            "unsubscribe" => false,
            _ => return None,
        };
        Some(Self { is_subscribe, fields })
    }

    /// Does it, and answers.
    pub(super) async fn run(self, feed: &mut Feed, lookout: &Lookout) -> String {
        let key = self.fields.get("key").and_then(Value::as_str).map(ToOwned::to_owned);
        let done = match serde_json::from_value(self.fields) {
            Err(error) => Err(ApiError::new(ErrorCode::InvalidRequest, format!("Not a request for a stream: {error}"))),
            Ok(fields) if self.is_subscribe => subscribe(fields, feed, lookout).await,
            Ok(fields) => unsubscribe(&fields, feed),
        };
        // From the first answer on each frame says which stream it is from.
        feed.reading_mut().set_keyed();
        let answer = match (&done, key.as_deref()) {
            (Ok(after), Some(key)) if self.is_subscribe => Answer::Subscribed { key, after: *after },
            (Ok(after), Some(key)) => Answer::Unsubscribed { key, after: *after },
            (Err(error), key) => Answer::Error { key, code: error.code.as_str(), message: &error.message },
            (Ok(_), None) => return String::new(),
        };
        json::text(&answer)
    }
}

async fn subscribe(fields: Fields, feed: &mut Feed, lookout: &Lookout) -> Result<Option<EventId>, ApiError> {
    let key = stream_key(&fields.key)?;
    let cursor = fields.after.filter(|after| !after.is_empty()).map(|after| wish::cursor(&after)).transpose()?;
    let beginning = fields.from.filter(|from| !from.is_empty()).map_or(Ok(Beginning::Start), |from| wish::beginning(&from))?;
    let followed: Vec<StreamKey> = {
        let streams = feed.reading().streams();
        if streams.iter().any(|stream| stream.key == key && !stream.is_over()) {
            return Err(ApiError::new(ErrorCode::AlreadySubscribed, "The connection follows this stream already"));
        }
        streams.iter().filter(|stream| !stream.is_over()).map(|stream| stream.key.clone()).collect()
    };
    if followed.len() >= lookout.max_keys {
        let message = format!("A connection follows at most {} streams", lookout.max_keys);
        return Err(ApiError::new(ErrorCode::TooManyKeys, message));
    }
    lookout.may_share(&[followed, vec![key.clone()]].concat())?;
    let mut found = lookout.look(&Wish::of_one(key.clone(), cursor, beginning, fields.wait)).await?;
    let found = found.pop().ok_or_else(ApiError::internal)?;
    let position = found.position.id();
    feed.unfollow(&key);
    if matches!(found.state, State::Open { .. } | State::Awaited { .. }) {
        feed.follow(&key, found.position).map_err(|full| ApiError::new(ErrorCode::TooManyClients, full.to_string()))?;
    }
    lookout.add(feed.reading_mut(), told(found));
    Ok(position)
}

/// The answer tells the client where it is.
fn told(found: Found) -> Found {
    match found.state {
        State::Open { page, .. } => Found { state: State::Open { page, tell: false }, ..found },
        state => Found { state, ..found },
    }
}

fn unsubscribe(fields: &Fields, feed: &mut Feed) -> Result<Option<EventId>, ApiError> {
    let key = stream_key(&fields.key)?;
    match feed.unfollow(&key) {
        Some(position) => Ok(position.id()),
        None => Err(ApiError::new(ErrorCode::NotSubscribed, "The connection does not follow this stream")),
    }
}
