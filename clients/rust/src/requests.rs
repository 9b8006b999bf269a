//! Requests that are made from a key, and what they then hold.

use crate::generated::types::{
    AddEvents, CancelStream, CreateStream, EndStream, Event, FailStream, IssueToken, RenewStream,
    SendSignal,
};

/// How many events a stream keeps unless its creator sets `max_events`. The broker's own default of
/// 500 is too small for the answer of a language model.
const MAX_EVENTS: u64 = 100_000;

impl<K: Into<String>> From<K> for EndStream {
    fn from(key: K) -> Self {
        Self {
            key: key.into(),
            data: None,
            generation: None,
        }
    }
}

impl<K: Into<String>> From<K> for CancelStream {
    fn from(key: K) -> Self {
        Self {
            key: key.into(),
            reason: None,
            by: None,
            generation: None,
        }
    }
}

impl<K: Into<String>> From<K> for FailStream {
    fn from(key: K) -> Self {
        Self {
            key: key.into(),
            code: None,
            message: None,
            generation: None,
        }
    }
}

impl<K: Into<String>> From<K> for RenewStream {
    fn from(key: K) -> Self {
        Self {
            key: key.into(),
            generation: None,
            stop_ack: None,
            lease: None,
            stall: None,
        }
    }
}

impl<N: Into<String>> From<N> for SendSignal {
    fn from(name: N) -> Self {
        Self {
            name: name.into(),
            data: None,
            id: None,
            generation: None,
        }
    }
}

impl<K: Into<String>> From<K> for CreateStream {
    fn from(key: K) -> Self {
        Self {
            key: key.into(),
            max_events: Some(MAX_EVENTS),
            ttl: None,
            if_exists: None,
            if_finished: None,
            request_id: None,
            stop_grace: None,
            lease: None,
            stall: None,
            permissions: None,
            subject: None,
        }
    }
}

impl<K: Into<String>> From<K> for IssueToken {
    fn from(key: K) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }
}

impl IssueToken {
    /// A token for the streams with these keys.
    pub fn for_keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self {
            keys: Some(keys.into_iter().map(Into::into).collect()),
            ..Self::default()
        }
    }

    /// A token for all streams whose keys have this prefix, also for later ones.
    pub fn for_prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: Some(prefix.into()),
            ..Self::default()
        }
    }
}

impl<K: Into<String>> From<(K, Vec<Event>)> for AddEvents {
    fn from((key, events): (K, Vec<Event>)) -> Self {
        Self {
            key: key.into(),
            events,
            producer: None,
            sequence: None,
            generation: None,
        }
    }
}
