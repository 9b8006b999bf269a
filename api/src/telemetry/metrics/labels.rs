//! The values of labels. This file has all of them: no label holds input from outside.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// An enum whose variants are values of one label.
macro_rules! label {
    ($(#[$about:meta])* $name:ident {
        $($(#[$meaning:meta])* $variant:ident = $text:literal,)+
    }) => {
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
    /// How a publisher sends events.
    Way {
        /// A batch in one request, all or nothing.
        Batch = "batch",
        /// NDJSON, line by line.
        Ndjson = "ndjson",
        /// WebSocket, message by message.
        WebSocket = "websocket",
    }
);

label!(
    /// How a subscriber receives events.
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
    /// Why a subscriber is not connected any more.
    DisconnectReason {
        /// An operator disconnected it.
        Disconnected = "disconnected",
        /// It has the last event of the stream.
        Ended = "ended",
        /// The stream expired or was replaced.
        Gone = "gone",
        /// It received no event for the client timeout.
        Idle = "idle",
        /// It left, or its connection broke.
        Left = "left",
        /// The script failed with an event.
        Script = "script",
        /// The node stops.
        Shutdown = "shutdown",
        /// It read nothing for the client timeout.
        Stalled = "stalled",
        /// The store failed for too long.
        Store = "store",
    }
);

label!(
    /// Why the broker did not admit a subscriber with a valid token of an existing stream.
    Refusal {
        /// The limit of its address is reached.
        Address = "address",
        /// The limit of the node is reached.
        Full = "full",
        /// The node stops.
        Shutdown = "shutdown",
        /// The limit of its stream is reached.
        Stream = "stream",
    }
);

label!(
    /// How a stream was finished.
    Outcome {
        /// It is complete.
        Ended = "ended",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its producer reported an error.
        Failed = "failed",
        /// Its producer went silent.
        Abandoned = "abandoned",
    }
);

label!(
    /// What a signal asks for.
    SignalKind {
        /// To finish.
        Stop = "stop",
        /// What the application means by it.
        Other = "other",
    }
);

label!(
    /// What the broker asks of Redis.
    Operation {
        /// To send this node's subscriber counts to the other nodes.
        Announce = "announce",
        /// To write events.
        Append = "append",
        /// For the subscriber counts of the other nodes.
        Count = "count",
        /// Whether streams exist that subscribers wait for.
        Await = "await",
        /// To create a stream.
        Create = "create",
        /// To finish a stream.
        Finish = "finish",
        /// To wait for a stream's next events, in exclusive delivery.
        Follow = "follow",
        /// For the active streams.
        List = "list",
        /// For the start position of a subscriber.
        Locate = "locate",
        /// Whether Redis answers.
        Ping = "ping",
        /// To give a producer more time.
        Renew = "renew",
        /// To store a signal.
        Signal = "signal",
        /// For the signals of a stream.
        Signals = "signals",
        /// For a stream's status and some of its events.
        Snapshot = "snapshot",
        /// For streams whose deadlines have passed.
        Sweep = "sweep",
        /// For the messages of shared delivery.
        Subscribe = "subscribe",
    }
);

label!(
    /// Why a topic of shared delivery asks the store for events that it may have missed.
    Cause {
        /// A message did not follow the previous one.
        Gap = "gap",
        /// The topic received no message for a while.
        Silence = "silence",
        /// The node subscribed to the topic, for the first time or again.
        Subscription = "subscription",
    }
);

label!(
    /// How a call of a script's hook ended.
    HookOutcome {
        /// The hook returned, and went along.
        Passed = "passed",
        /// The script refused or dropped something.
        Refused = "refused",
        /// The script raised an error, or reached a limit.
        Failed = "failed",
        /// The hook did not answer in time.
        TimedOut = "timed-out",
    }
);
