//! Producers, whose events the broker writes only once.

use std::{str::FromStr, sync::Arc};

/// The most producers of a stream. Each takes about 100 bytes of it.
pub const MAX_PRODUCERS: usize = 1000;

/// The largest sequence. The Redis scripts count in double precision.
pub const MAX_SEQUENCE: u64 = 1 << 53;

/// A producer, and the sequence of the first event of a batch. The store uses it to detect events
/// that the producer sends again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSequence {
    /// The producer of the batch.
    pub producer: Producer,
    /// How many events the producer had sent into this stream before the batch. At most
    /// [`MAX_SEQUENCE`].
    pub sequence: u64,
}

/// The longest producer name, in bytes.
pub const MAX_PRODUCER_BYTES: usize = 64;

/// The name of a producer: 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_` and `-`. Cheap to
/// clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Producer(Arc<str>);

/// The text is not a [`Producer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A producer is named by 1 to {MAX_PRODUCER_BYTES} of A to Z, a to z, 0 to 9, _ and -")]
pub struct InvalidProducer;

impl Producer {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Producer {
    type Err = InvalidProducer;

    fn from_str(text: &str) -> Result<Self, InvalidProducer> {
        let fits = (1..=MAX_PRODUCER_BYTES).contains(&text.len());
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if fits && text.bytes().all(is_valid) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidProducer)
        }
    }
}
