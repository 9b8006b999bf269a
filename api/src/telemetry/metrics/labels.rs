//! The values of labels. All are known here: no label ever holds what came from outside.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// An enum whose variants are values of one label.
macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$meaning])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value as text.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    };
}

label!(
    /// How events come in.
    Way {
        /// In one request, all or nothing.
        Batch = "batch",
        /// Line by line.
        Ndjson = "ndjson",
        /// Message by message.
        WebSocket = "websocket",
    }
);

label!(
    /// How events go out.
    Transport {
        /// Server-sent events.
        Sse = "sse",
        /// WebSocket.
        Ws = "ws",
        /// Long polling.
        Poll = "poll",
        /// Newline-delimited JSON.
        Ndjson = "ndjson",
    }
);

label!(
    /// Why a client was let go.
    Departure {
        /// An operator disconnected it.
        Disconnected = "disconnected",
        /// It has the stream's last event.
        Ended = "ended",
        /// The stream expired or was replaced.
        Gone = "gone",
        /// No event for the client timeout.
        Idle = "idle",
        /// It left, or its connection broke.
        Left = "left",
        /// The node stops.
        Shutdown = "shutdown",
        /// It did not take what it was given.
        Stalled = "stalled",
        /// The store failed for too long.
        Store = "store",
    }
);

label!(
    /// Why a client was not let in, its stream and its token being good.
    Refusal {
        /// Its address has as many clients as it may have.
        Address = "address",
        /// All slots are taken.
        Full = "full",
        /// The node stops.
        Shutdown = "shutdown",
        /// Its stream has as many clients as it may have.
        Stream = "stream",
    }
);

label!(
    /// How a stream was finished.
    Outcome {
        /// It is complete.
        Ended = "ended",
        /// It was given up.
        Cancelled = "cancelled",
    }
);

label!(
    /// What Redis is asked for.
    Operation {
        /// To tell the other nodes of this one's clients.
        Announce = "announce",
        /// To write events.
        Append = "append",
        /// For the clients that other nodes have.
        Count = "count",
        /// Whether streams are there that clients wait for.
        Await = "await",
        /// To start a stream.
        Create = "create",
        /// To end or cancel a stream.
        Finish = "finish",
        /// To wait for a stream's next events, in exclusive delivery.
        Follow = "follow",
        /// For the streams that are active.
        List = "list",
        /// For where a reader begins.
        Locate = "locate",
        /// For a sign of life.
        Ping = "ping",
        /// For a stream's state and some of its events.
        Snapshot = "snapshot",
        /// For the messages of shared delivery.
        Subscribe = "subscribe",
    }
);

label!(
    /// Why the store is asked for what a topic may have missed, in shared delivery.
    Cause {
        /// A message did not follow the one before.
        Gap = "gap",
        /// No message came for a while.
        Silence = "silence",
        /// The topic was subscribed to, anew perhaps.
        Subscription = "subscription",
    }
);
