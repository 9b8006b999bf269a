//! What the broker has confirmed.

/// The broker's confirmation that events of a writer are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// How many events of this writer are stored now.
    pub count: u64,
    /// The id of the last of them. None when the broker had stored it in an earlier attempt, whose
    /// response was lost.
    pub last_id: Option<String>,
}

/// The caller's function that receives confirmations.
pub(super) type OnAck = Box<dyn Fn(Ack) + Send + Sync>;
