//! Why Redis does not work for the broker, in sentences for the operator.

use std::fmt;

/// A right that an ACL does not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// The right to run a command, with its name where Redis reports it.
    Command(Option<String>),
    /// The right to use the keys under the broker's prefix.
    Keys,
    /// The right to use the channels under the broker's prefix.
    Channels,
}

/// A known cause of a failure. Its text is one sentence without secrets and without text from
/// Redis, so that answers may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Nothing listens at the address.
    NotListening,
    /// The host name has no address.
    UnknownHost,
    /// The TLS handshake failed.
    Tls,
    /// No answer to the TLS handshake in time.
    TlsSilent,
    /// No answer in time.
    Silent,
    /// The server closed the connection.
    Closed,
    /// A wrong user name or password, or a missing one.
    Credentials,
    /// The server does not have the database of the URL.
    Database,
    /// An ACL does not allow what the broker needs.
    Forbidden(Right),
    /// The server has no room for another connection.
    Connections,
    /// The server takes no connections from other machines.
    Protected,
    /// The server is a replica.
    Replica,
    /// Fewer replicas than `min-replicas-to-write`.
    TooFewReplicas,
    /// The server can't save to its disk.
    NotSaved,
    /// The memory is full.
    Full,
    /// The server loads its data.
    Loading,
    /// A script runs for too long.
    Busy,
    /// The Cluster has no primary for these keys.
    ClusterDown,
    /// A key under the broker's prefix is of another type than the broker writes.
    WrongType,
    /// The node does not receive its own messages.
    SubscriptionUnhealthy,
}

impl StoreFault {
    /// Whether the server was reached, and refused the command without running it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use StoreFault::{
            Busy, ClusterDown, Forbidden, Full, Loading, NotSaved, Replica, TooFewReplicas,
            WrongType,
        };
        matches!(
            self,
            Busy | ClusterDown
                | Forbidden(_)
                | Full
                | Loading
                | NotSaved
                | Replica
                | TooFewReplicas
                | WrongType
        )
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self {
            Self::NotListening => "Nothing listens at the address of Redis",
            Self::UnknownHost => "The host name of Redis can't be resolved",
            Self::Tls => {
                "The TLS handshake with Redis fails: \
                 check its certificate, and whether its port speaks TLS"
            }
            Self::TlsSilent => {
                "Redis does not answer the TLS handshake in time: \
                 check whether its port speaks TLS"
            }
            Self::Silent => "Redis does not answer in time",
            Self::Closed => "Redis closed the connection",
            Self::Credentials => "Redis refuses the user name or the password",
            Self::Database => "Redis does not have the database that STREAMER_REDIS_URL names",
            Self::Forbidden(Right::Command(Some(name))) => {
                return write!(
                    f,
                    "Redis does not let this user run {}",
                    name.replace('|', " ").to_ascii_uppercase()
                );
            }
            Self::Forbidden(Right::Command(None)) => {
                "Redis does not let this user run a command that the broker needs"
            }
            Self::Forbidden(Right::Keys) => {
                "Redis does not let this user use the keys under STREAMER_KEY_PREFIX"
            }
            Self::Forbidden(Right::Channels) => {
                "Redis does not let this user use the channels under STREAMER_KEY_PREFIX"
            }
            Self::Connections => "Redis has no room for another connection",
            Self::Protected => {
                "Redis takes no connections from other machines: it is in protected mode"
            }
            Self::Replica => "Redis refuses writes: it is a replica",
            Self::TooFewReplicas => "Redis refuses writes: too few replicas follow it",
            Self::NotSaved => "Redis refuses writes: it can't save to its disk",
            Self::Full => "Redis refuses writes: its memory is full",
            Self::Loading => "Redis still loads its data",
            Self::Busy => "Redis is busy with a script that runs for too long",
            Self::ClusterDown => "The Redis Cluster has no primary for these keys",
            Self::WrongType => "Redis holds a key of another type under a name of the broker",
            Self::SubscriptionUnhealthy => "This node does not receive its own messages from Redis",
        };
        f.write_str(sentence)
    }
}
