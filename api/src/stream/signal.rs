//! Signals: what subscribers ask the producer of a stream to do.

use std::str::FromStr;

/// The longest name of a signal, in bytes.
pub const MAX_SIGNAL_NAME: usize = 64;

/// The longest data of a signal, in bytes of JSON.
pub const MAX_SIGNAL_DATA: usize = 16 << 10;

/// The longest id that a sender gives a signal, in characters.
pub const MAX_SIGNAL_ID: usize = 64;

/// The most signals of a stream. The first `stop` does not count.
pub const MAX_SIGNALS: usize = 1_000;

/// The most bytes of all signals of a stream.
pub const MAX_SIGNALS_BYTES: usize = 1 << 20;

/// The most signals of a stream that tokens of one subject sent.
pub const MAX_SIGNALS_PER_SUBJECT: usize = 100;

/// The sender of signals that were sent with an API key.
pub const BY_API_KEY: &str = "api-key";

/// The name of a signal: 1 to 64 of `a` to `z`, `0` to `9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalName(Box<str>);

/// The text is not a [`SignalName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name is 1 to {MAX_SIGNAL_NAME} of a to z, 0 to 9, -")]
pub struct InvalidSignalName;

impl SignalName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it asks the producer to finish. A stream keeps one such signal.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        &*self.0 == "stop"
    }
}

impl FromStr for SignalName {
    type Err = InvalidSignalName;

    fn from_str(text: &str) -> Result<Self, InvalidSignalName> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_valid = (1..=MAX_SIGNAL_NAME).contains(&text.len()) && text.bytes().all(is_word);
        is_valid.then(|| Self(text.into())).ok_or(InvalidSignalName)
    }
}

/// The id that a sender gives a signal, to send it again without sending it twice: 1 to 64
/// characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignalId(Box<str>);

/// The text is not a [`SignalId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id is 1 to {MAX_SIGNAL_ID} characters without control characters")]
pub struct InvalidSignalId;

impl SignalId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SignalId {
    type Err = InvalidSignalId;

    fn from_str(text: &str) -> Result<Self, InvalidSignalId> {
        let is_valid = (1..=MAX_SIGNAL_ID).contains(&text.chars().count())
            && !text.chars().any(char::is_control);
        is_valid.then(|| Self(text.into())).ok_or(InvalidSignalId)
    }
}

/// A signal to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSignal {
    /// What is asked for.
    pub name: SignalName,
    /// More about it, as JSON text.
    pub data: Option<Box<str>>,
    /// The sender's id of it.
    pub id: Option<SignalId>,
    /// Who sent it: the subject of the token, or [`BY_API_KEY`]. None: a token without a subject.
    pub by: Option<Box<str>>,
}

impl NewSignal {
    /// The bytes that count against [`MAX_SIGNALS_BYTES`].
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = |text: Option<&str>| text.map_or(0, str::len);
        self.name.as_str().len()
            + text(self.data.as_deref())
            + text(self.id.as_ref().map(SignalId::as_str))
            + text(self.by.as_deref())
    }

    /// How many signals of its sender a stream may have before this one.
    #[must_use]
    pub fn max_of_sender(&self) -> usize {
        if self.by.as_deref() == Some(BY_API_KEY) {
            MAX_SIGNALS
        } else {
            MAX_SIGNALS_PER_SUBJECT
        }
    }
}

/// A stored signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number in the stream, from 1.
    pub seq: u64,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub ms: u64,
    /// What was sent.
    pub signal: NewSignal,
}
