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
    }
);

label!(
    /// Why a client was let go.
    Departure {
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
        /// All slots are taken.
        Full = "full",
        /// The node stops.
        Shutdown = "shutdown",
    }
);

label!(
    /// How a stream was finished.
    Finished {
        /// It is complete.
        Ended = "ended",
        /// It was given up.
        Cancelled = "cancelled",
    }
);
