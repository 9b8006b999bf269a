//! What a token permits, and for whom.

use std::str::FromStr;

/// The longest subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 128;

/// Names in the member `by` of signals and of last events that mean no subject.
const RESERVED: [&str; 2] = ["api-key", "broker"];

/// What a token permits its holder to do with the streams that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// To follow them.
    pub read: bool,
    /// To send signals to their producers.
    pub signal: bool,
}

impl Permissions {
    /// To follow streams, and nothing else.
    pub const READ: Self = Self {
        read: true,
        signal: false,
    };

    /// One byte: 1 to read, 2 to signal.
    pub(super) fn encode(self) -> u8 {
        u8::from(self.read) | u8::from(self.signal) << 1
    }

    /// Parses the result of [`Self::encode`]. None if it permits what this version does not know.
    pub(super) fn decode(bits: u8) -> Option<Self> {
        (bits < 4).then_some(Self {
            read: bits & 1 != 0,
            signal: bits & 2 != 0,
        })
    }
}

/// Who holds a token, as the backend names it: 1 to 128 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Box<str>);

/// The text is not a [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "subject is 1 to {MAX_SUBJECT_BYTES} bytes without control characters, \
     and neither \"api-key\" nor \"broker\""
)]
pub struct InvalidSubject;

impl Subject {
    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let is_valid = (1..=MAX_SUBJECT_BYTES).contains(&text.len())
            && !text.chars().any(char::is_control)
            && !RESERVED.contains(&text);
        is_valid.then(|| Self(text.into())).ok_or(InvalidSubject)
    }
}
