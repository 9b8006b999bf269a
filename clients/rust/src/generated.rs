// Generated from spec/openapi.json by clients/rust/generator; changes made here are lost.

#[allow(unused_imports)]
pub use progenitor_client::{ByteStream, ClientInfo, Error, ResponseValue};
#[allow(unused_imports)]
use progenitor_client::{encode_path, ClientHooks, OperationInfo, RequestBuilderExt};
/// Types used as operation parameters and responses.
#[allow(clippy::all)]
pub mod types {
    ///The URLs at which subscribers follow streams, and the token that opens the streams. The URLs name the streams, except for a token of a prefix.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Access {
        ///Whether this request created the stream. Only in the answer to `POST /stream`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub created: ::std::option::Option<bool>,
        ///When the token expires. RFC 3339.
        pub expires_at: ::std::string::String,
        ///Distinguishes the stream from every other that has had its key: 32 hex digits. A request that names it means this stream and no later one. Absent unless the token is for one stream that exists.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///For server-sent events; without the token.
        pub sse_url: ::std::string::String,
        ///The token.
        pub token: ::std::string::String,
        ///For WebSocket; without the token.
        pub ws_url: ::std::string::String,
    }
    ///What a node has done since its start, and its subscribers now.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Activity {
        ///Bytes of names and data of the events written.
        pub bytes_in: u64,
        ///Bytes of the frames and messages with the events sent to subscribers.
        pub bytes_out: u64,
        pub clients: ClientCounts,
        ///Events written into streams.
        pub events_in: u64,
        ///Events sent to subscribers, history included.
        pub events_out: u64,
        ///Seconds since the start.
        pub uptime: u64,
    }
    ///Events for a stream.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct AddEvents {
        ///The events, in order.
        pub events: ::std::vec::Vec<Event>,
        ///The generation that the stream must have, as the broker gave it when the stream was created.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///The stream's key.
        pub key: ::std::string::String,
        ///The producer of the events: a name that no other producer uses, 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`. With it, a caller can repeat a request whose response was lost: the broker skips events that the stream already has.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub producer: ::std::option::Option<::std::string::String>,
        ///How many events the producer had sent into this stream before these. It needs a `producer`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub sequence: ::std::option::Option<u64>,
    }
    ///The events that were written.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Added {
        ///The ids of the events that were written, in the order of the request.
        pub ids: ::std::vec::Vec<::std::string::String>,
        ///The names of members that are neither `event` nor `data`, and were not stored: each once, the first 16, cut to 64 bytes. Absent when there are none.
        #[serde(default, skip_serializing_if = "::std::vec::Vec::is_empty")]
        pub ignored: ::std::vec::Vec<::std::string::String>,
        ///How many events, from the first on, the stream already had. Only with a producer.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub num_duplicates: ::std::option::Option<u64>,
        ///How many events were written.
        pub num_events: u64,
    }
    ///The broker: its version, its store and its load.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct BrokerInfo {
        pub activity: Activity,
        ///How live events reach subscribers.
        pub delivery: ::std::string::String,
        pub redis: ConnectionInfo,
        ///`redis` or `memory`.
        pub store: ::std::string::String,
        ///The public URL.
        pub url: ::std::string::String,
        ///The broker's version.
        pub version: ::std::string::String,
    }
    ///The stream to cancel.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct CancelStream {
        ///Who cancels it, in at most 128 bytes. The last event contains it.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub by: ::std::option::Option<::std::string::String>,
        ///The generation that the stream must have, as the broker gave it when the stream was created.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///The stream's key.
        pub key: ::std::string::String,
        ///Why, in at most 1 KiB. The last event contains it.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub reason: ::std::option::Option<::std::string::String>,
    }
    ///Subscribers now, by transport.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct ClientCounts {
        ///Over newline-delimited JSON.
        pub ndjson: u64,
        ///By long polling.
        pub poll: u64,
        ///Over server-sent events.
        pub sse: u64,
        ///Over WebSocket.
        pub ws: u64,
    }
    ///A connected subscriber of this node.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct ClientRow {
        ///Its IP address, if known (`STREAMER_CLIENT_IP_HEADER`).
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub address: ::std::option::Option<::std::string::String>,
        ///Bytes of the frames and messages with those events.
        pub bytes: u64,
        ///Events sent to it.
        pub events: u64,
        ///Its event names filter. Absent if it receives all events.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub filter: ::std::option::Option<::std::string::String>,
        ///Identifies its connection.
        pub id: ::std::string::String,
        ///The streams that it follows.
        pub keys: ::std::vec::Vec<::std::string::String>,
        ///How many events it is behind, over all of its streams. Null if the store can't answer.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub lag: ::std::option::Option<u64>,
        ///Its name (`client_name`).
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub name: ::std::option::Option<::std::string::String>,
        ///When it connected. RFC 3339.
        pub since: ::std::string::String,
        ///Its tags (`tags`).
        pub tags: ::std::vec::Vec<::std::string::String>,
        ///How it is connected: `sse`, `ws`, `poll` or `ndjson`.
        pub transport: ::std::string::String,
    }
    ///Connections to Redis, and the limit of subscribers.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct ConnectionInfo {
        ///Connections for writes and management; 0 with the embedded store.
        #[serde(rename = "static")]
        pub static_: u64,
        ///Connections for subscribers, idle ones included.
        pub streaming: u64,
        ///How many more subscribers could connect.
        pub streaming_available: u64,
        ///Subscribers now.
        pub streaming_in_use: u64,
        ///The most subscribers of the node.
        pub streaming_max: u64,
    }
    ///The stream to create.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct CreateStream {
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub if_exists: ::std::option::Option<IfTaken>,
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub if_finished: ::std::option::Option<IfTaken>,
        ///Its key: 1 to 256 bytes of UTF-8 without control characters.
        pub key: ::std::string::String,
        ///Seconds that the producer may be silent before the broker abandons the stream: 2 or more. 0 is no limit. Every write shows that the producer is alive, and so does `POST /stream/renew`. The default is `STREAMER_LEASE`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub lease: ::std::option::Option<u64>,
        ///About how many events the stream keeps. The default is `STREAMER_MAX_EVENTS`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub max_events: ::std::option::Option<u64>,
        ///What the token permits. `read`: to follow the streams. `signal`: to send signals to their producers. The default is `["read"]`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub permissions: ::std::option::Option<::std::vec::Vec<Permission>>,
        ///An id of this request, 1 to 64 characters. If you repeat the request with the same id within a minute, the answer is the stream that the first request created, not `existing-stream`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub request_id: ::std::option::Option<::std::string::String>,
        ///Seconds that the producer may write no event before the broker abandons the stream: 2 or more. 0 is no limit. The default is `STREAMER_STALL`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stall: ::std::option::Option<u64>,
        ///Seconds that the producer has to follow the signal `stop` before the broker cancels the stream. 0 is no limit. The default is 10.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stop_grace: ::std::option::Option<u64>,
        ///The user of the token: 1 to 128 bytes of UTF-8 without control characters. Signals that are sent with the token carry this name.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub subject: ::std::option::Option<::std::string::String>,
        ///Seconds that the stream lives after its last write, and that the token is valid. The default is `STREAMER_TTL`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub ttl: ::std::option::Option<u64>,
    }
    ///The result of a disconnect.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Disconnected {
        ///`disconnected`.
        pub status: ::std::string::String,
    }
    ///The stream to end.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct EndStream {
        ///The data of the last event: a string, or any other JSON value. The broker stores other values as their compact JSON text. `null` is the same as no data.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub data: ::std::option::Option<::serde_json::Value>,
        ///The generation that the stream must have, as the broker gave it when the stream was created.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///The stream's key.
        pub key: ::std::string::String,
    }
    ///The body of every error response.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Error {
        ///A stable kebab-case word; the list is in `docs/reference/errors.md`.
        pub code: ::std::string::String,
        ///One plain sentence that says what was wrong with this request.
        pub message: ::std::string::String,
        ///The status of the stream, if it is finished and the request needs an active one.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stream_status: ::std::option::Option<::std::string::String>,
    }
    ///An event of a producer.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Event {
        ///A string, or any other JSON value. The broker stores other values as their compact JSON text. `null` is the same as no data.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub data: ::std::option::Option<::serde_json::Value>,
        ///Its name: 1 to 128 bytes without control characters. The broker itself uses `start`, `end`, `cancel`, `fail`, `abandon`, `error` and `missedevents`.
        pub event: ::std::string::String,
    }
    ///The stream that fails.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct FailStream {
        ///A word for programs that says what went wrong: 1 to 64 of `a` to `z`, `0` to `9`, `-`. The default is `error`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub code: ::std::option::Option<::std::string::String>,
        ///The generation that the stream must have, as the broker gave it when the stream was created.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///The stream's key.
        pub key: ::std::string::String,
        ///A text for people that says what went wrong, in at most 1 KiB. The default is empty.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub message: ::std::option::Option<::std::string::String>,
    }
    ///How a stream was finished.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Finished {
        ///`ended`, `cancelled` or `failed`.
        pub status: ::std::string::String,
    }
    ///What to do where a stream has the key already.
    #[derive(
        ::serde::Deserialize,
        ::serde::Serialize,
        Clone,
        Copy,
        Debug,
        Eq,
        Hash,
        Ord,
        PartialEq,
        PartialOrd
    )]
    pub enum IfTaken {
        #[serde(rename = "error")]
        Error,
        #[serde(rename = "attach")]
        Attach,
        #[serde(rename = "replace")]
        Replace,
    }
    impl ::std::fmt::Display for IfTaken {
        fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
            match *self {
                Self::Error => f.write_str("error"),
                Self::Attach => f.write_str("attach"),
                Self::Replace => f.write_str("replace"),
            }
        }
    }
    impl ::std::str::FromStr for IfTaken {
        type Err = self::error::ConversionError;
        fn from_str(
            value: &str,
        ) -> ::std::result::Result<Self, self::error::ConversionError> {
            match value {
                "error" => Ok(Self::Error),
                "attach" => Ok(Self::Attach),
                "replace" => Ok(Self::Replace),
                _ => Err("invalid value".into()),
            }
        }
    }
    impl ::std::convert::TryFrom<&str> for IfTaken {
        type Error = self::error::ConversionError;
        fn try_from(
            value: &str,
        ) -> ::std::result::Result<Self, self::error::ConversionError> {
            value.parse()
        }
    }
    impl ::std::convert::TryFrom<::std::string::String> for IfTaken {
        type Error = self::error::ConversionError;
        fn try_from(
            value: ::std::string::String,
        ) -> ::std::result::Result<Self, self::error::ConversionError> {
            value.parse()
        }
    }
    ///The streams that a token is for: exactly one of `key`, `keys` and `prefix`.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default, PartialEq)]
    pub struct IssueToken {
        ///The key of one stream.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub key: ::std::option::Option<::std::string::String>,
        ///The keys of several streams, at most `STREAMER_MAX_KEYS_PER_CLIENT` (32). The same key twice counts once.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub keys: ::std::option::Option<::std::vec::Vec<::std::string::String>>,
        ///What the token permits. `read`: to follow the streams. `signal`: to send signals to their producers. The default is `["read"]`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub permissions: ::std::option::Option<::std::vec::Vec<Permission>>,
        ///The token opens every stream whose key begins with this, now and later: 1 to 256 bytes of UTF-8 without control characters.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub prefix: ::std::option::Option<::std::string::String>,
        ///The user of the token: 1 to 128 bytes of UTF-8 without control characters. Signals that are sent with the token carry this name.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub subject: ::std::option::Option<::std::string::String>,
        ///Seconds that the token is valid. The default is `STREAMER_TTL`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub ttl: ::std::option::Option<u64>,
        ///With `key` or `keys`: for a key without a stream, the token opens each later stream at that key.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub wait: ::std::option::Option<bool>,
    }
    ///An event of a stream.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct KeyedEvent {
        ///With `rollup`: how many events this one stands for, if there are several.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub count: ::std::option::Option<u64>,
        ///Its data, if it has any.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub data: ::std::option::Option<::std::string::String>,
        ///Its name.
        pub event: ::std::string::String,
        ///`<milliseconds>-<number>`; absent in `missedevents`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub id: ::std::option::Option<::std::string::String>,
        ///The key of its stream.
        pub key: ::std::string::String,
        ///With the last event of a stream: `ended`, `cancelled`, `failed` or `abandoned`.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stream_status: ::std::option::Option<::std::string::String>,
    }
    ///What a token can permit.
    #[derive(
        ::serde::Deserialize,
        ::serde::Serialize,
        Clone,
        Copy,
        Debug,
        Eq,
        Hash,
        Ord,
        PartialEq,
        PartialOrd
    )]
    pub enum Permission {
        #[serde(rename = "read")]
        Read,
        #[serde(rename = "signal")]
        Signal,
    }
    impl ::std::fmt::Display for Permission {
        fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
            match *self {
                Self::Read => f.write_str("read"),
                Self::Signal => f.write_str("signal"),
            }
        }
    }
    impl ::std::str::FromStr for Permission {
        type Err = self::error::ConversionError;
        fn from_str(
            value: &str,
        ) -> ::std::result::Result<Self, self::error::ConversionError> {
            match value {
                "read" => Ok(Self::Read),
                "signal" => Ok(Self::Signal),
                _ => Err("invalid value".into()),
            }
        }
    }
    impl ::std::convert::TryFrom<&str> for Permission {
        type Error = self::error::ConversionError;
        fn try_from(
            value: &str,
        ) -> ::std::result::Result<Self, self::error::ConversionError> {
            value.parse()
        }
    }
    impl ::std::convert::TryFrom<::std::string::String> for Permission {
        type Error = self::error::ConversionError;
        fn try_from(
            value: ::std::string::String,
        ) -> ::std::result::Result<Self, self::error::ConversionError> {
            value.parse()
        }
    }
    ///The answer to a poll.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Polled {
        ///The position to send as `after` in the next request. With one key it is an event's id. Null while nothing is known of the stream.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub cursor: ::std::option::Option<::std::string::String>,
        ///The events, each stream's in its order.
        pub events: ::std::vec::Vec<KeyedEvent>,
        ///`active` while more events may follow. Otherwise `ended`. With one key also `cancelled`, `failed` or `abandoned`.
        pub status: ::std::string::String,
    }
    ///The stream whose producer is alive, and what the producer needs.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct RenewStream {
        ///The generation that the stream must have, as the broker gave it when the stream was created.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///Its key.
        pub key: ::std::string::String,
        ///Seconds that the producer may be silent from now on: 2 or more. 0 is no limit. Without it the lease begins anew with its old length.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub lease: ::std::option::Option<u64>,
        ///Seconds that the producer may write no event from now on: 2 or more. 0 is no limit. Without it the deadline stays as it is.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stall: ::std::option::Option<u64>,
        ///The producer follows a stop, and needs its `stop_grace` once more. Only the first time counts.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stop_ack: ::std::option::Option<bool>,
    }
    ///The deadlines of a stream.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default, PartialEq)]
    pub struct Renewed {
        ///When the broker abandons the stream, unless its producer shows that it is alive. RFC 3339. Null if the stream has no lease.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub lease_expires_at: ::std::option::Option<::std::string::String>,
        ///When the broker abandons the stream, unless its producer writes an event. RFC 3339. Null if the stream has no stall.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stall_expires_at: ::std::option::Option<::std::string::String>,
        ///When the broker cancels the stream because its producer did not follow a stop. RFC 3339. Null if there is no such deadline.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stop_expires_at: ::std::option::Option<::std::string::String>,
        ///When somebody first asked the producer to stop. RFC 3339. Null if nobody did.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stop_requested_at: ::std::option::Option<::std::string::String>,
    }
    ///A signal to the producer of a stream.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct SendSignal {
        ///More about it: any JSON value of at most 16 KiB. `null` is the same as none.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub data: ::std::option::Option<::serde_json::Value>,
        ///The generation that the stream must have, as the broker gave it when the stream was created.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub generation: ::std::option::Option<::std::string::String>,
        ///An id of the signal, 1 to 64 characters. If the same sender sends a signal with the same id again, the broker does not store it again.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub id: ::std::option::Option<::std::string::String>,
        ///What the producer is asked to do: 1 to 64 of `a` to `z`, `0` to `9`, `-`. `stop` asks it to finish. Other names are the application's own.
        pub name: ::std::string::String,
    }
    ///A signal.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct SignalRecord {
        ///Who sent it: the subject of the token, or `api-key`. Null for a token without a subject.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub by: ::std::option::Option<::std::string::String>,
        ///More about it: any JSON value.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub data: ::std::option::Option<::serde_json::Value>,
        ///The sender's id of it.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub id: ::std::option::Option<::std::string::String>,
        ///What the producer is asked to do. `stop`: to finish.
        pub name: ::std::string::String,
        ///Its number in the stream, from 1.
        pub seq: u64,
        ///When the broker stored it. RFC 3339.
        pub time: ::std::string::String,
    }
    ///The number of a stored signal.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct SignalSent {
        ///The number of the signal in its stream, from 1. For a signal that was stored before, this is the number of that one.
        pub seq: u64,
    }
    ///Signals of a stream.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct Signals {
        ///Distinguishes the stream from every other that has had its key: 32 hex digits.
        pub generation: ::std::string::String,
        ///The signals after `after`, in order. More may follow: ask again with the last `seq`.
        pub signals: ::std::vec::Vec<SignalRecord>,
        ///`active`, `ended`, `cancelled`, `failed` or `abandoned`.
        pub stream_status: ::std::string::String,
    }
    ///An event as it is stored.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct StoredEvent {
        ///Its data, if it has any.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub data: ::std::option::Option<::std::string::String>,
        ///Its name.
        pub event: ::std::string::String,
        ///`<milliseconds>-<number>`.
        pub id: ::std::string::String,
        ///When it was written. RFC 3339 with milliseconds.
        pub time: ::std::string::String,
    }
    ///An active stream in a list.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct StreamRow {
        ///Distinguishes the stream from every other that has had its key: 32 hex digits.
        pub generation: ::std::string::String,
        ///Its key.
        pub key: ::std::string::String,
        ///How many events are stored.
        pub length: u64,
        ///Always `active`.
        pub status: ::std::string::String,
        ///Seconds left unless something is written.
        pub ttl: u64,
    }
    ///A stream.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct StreamState {
        ///Subscribers on this node.
        pub clients: u64,
        ///About how many subscribers all nodes have: each node reports its count every 5 seconds. Null if the store can't answer.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub clients_total: ::std::option::Option<u64>,
        ///When the stream was created. RFC 3339.
        pub created_at: ::std::string::String,
        ///The id of the oldest stored event.
        pub first_id: ::std::string::String,
        ///Distinguishes the stream from every other that has had its key: 32 hex digits.
        pub generation: ::std::string::String,
        ///Its key.
        pub key: ::std::string::String,
        ///The id of the newest event.
        pub last_id: ::std::string::String,
        ///When the broker abandons the stream, unless its producer shows that it is alive. RFC 3339. Null if the stream has no lease.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub lease_expires_at: ::std::option::Option<::std::string::String>,
        ///How many events are stored.
        pub length: u64,
        ///Why a stream is cancelled, failed or abandoned: the data of its last event, `{"reason", "by"}` or `{"code", "message"}`. Null if nobody gave a reason.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub reason: ::std::option::Option<::serde_json::Value>,
        ///When the broker abandons the stream, unless its producer writes an event. RFC 3339. Null if the stream has no stall.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stall_expires_at: ::std::option::Option<::std::string::String>,
        ///`active`, `ended`, `cancelled`, `failed` or `abandoned`.
        pub status: ::std::string::String,
        ///When the first signal `stop` arrived. RFC 3339. Null if none did.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub stop_requested_at: ::std::option::Option<::std::string::String>,
        ///Seconds left unless something is written.
        pub ttl: u64,
    }
    ///The result of an upload.
    #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
    pub struct UploadSummary {
        ///What was wrong with the lines that were not written: the first 100.
        pub errors: ::std::vec::Vec<::std::string::String>,
        ///The ids of the events that were written: the first 10,000.
        pub ids: ::std::vec::Vec<::std::string::String>,
        ///The names of members that are neither `event` nor `data`, and were not stored: each once, the first 16, cut to 64 bytes. Absent when there are none.
        #[serde(default, skip_serializing_if = "::std::vec::Vec::is_empty")]
        pub ignored: ::std::vec::Vec<::std::string::String>,
        ///The id of the last event that was written.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub last_id: ::std::option::Option<::std::string::String>,
        ///How many events the stream already had. They were not written again. Only with a producer.
        #[serde(skip_serializing_if = "::std::option::Option::is_none")]
        pub num_duplicates: ::std::option::Option<u64>,
        ///How many lines were not written.
        pub num_errors: u64,
        ///How many events were written.
        pub num_events: u64,
    }
    /// Error types.
    pub mod error {
        /// Error from a `TryFrom` or `FromStr` implementation.
        pub struct ConversionError(::std::borrow::Cow<'static, str>);
        impl ::std::error::Error for ConversionError {}
        impl ::std::fmt::Display for ConversionError {
            fn fmt(
                &self,
                f: &mut ::std::fmt::Formatter<'_>,
            ) -> Result<(), ::std::fmt::Error> {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }
        impl ::std::fmt::Debug for ConversionError {
            fn fmt(
                &self,
                f: &mut ::std::fmt::Formatter<'_>,
            ) -> Result<(), ::std::fmt::Error> {
                ::std::fmt::Debug::fmt(&self.0, f)
            }
        }
        impl From<&'static str> for ConversionError {
            fn from(value: &'static str) -> Self {
                Self(value.into())
            }
        }
        impl From<String> for ConversionError {
            fn from(value: String) -> Self {
                Self(value.into())
            }
        }
    }
}
#[derive(Clone, Debug)]
/**Client for tinistreamer

A stateless HTTP streaming broker on Redis Streams. Backends write events into streams. Subscribers follow the streams live over SSE, WebSocket, NDJSON or long polling. A string of the format `byte-limited` has at most `maxLength` bytes of UTF-8.

Version: 0.1.0*/
pub struct Client {
    pub(crate) baseurl: String,
    pub(crate) client: reqwest::Client,
    pub(crate) inner: crate::request_defaults::RequestDefaults,
}
impl Client {
    /// Create a new client.
    ///
    /// `baseurl` is the base URL provided to the internal
    /// `reqwest::Client`, and should include a scheme and hostname,
    /// as well as port and a path stem if applicable.
    pub fn new(baseurl: &str, inner: crate::request_defaults::RequestDefaults) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        let client = {
            let dur = ::std::time::Duration::from_secs(15u64);
            reqwest::ClientBuilder::new().connect_timeout(dur).timeout(dur)
        };
        #[cfg(target_arch = "wasm32")]
        let client = reqwest::ClientBuilder::new();
        Self::new_with_client(baseurl, client.build().unwrap(), inner)
    }
    /// Construct a new client with an existing `reqwest::Client`,
    /// allowing more control over its configuration.
    ///
    /// `baseurl` is the base URL provided to the internal
    /// `reqwest::Client`, and should include a scheme and hostname,
    /// as well as port and a path stem if applicable.
    pub fn new_with_client(
        baseurl: &str,
        client: reqwest::Client,
        inner: crate::request_defaults::RequestDefaults,
    ) -> Self {
        Self {
            baseurl: baseurl.to_string(),
            client,
            inner,
        }
    }
}
impl ClientInfo<crate::request_defaults::RequestDefaults> for Client {
    fn api_version() -> &'static str {
        "0.1.0"
    }
    fn baseurl(&self) -> &str {
        self.baseurl.as_str()
    }
    fn client(&self) -> &reqwest::Client {
        &self.client
    }
    fn inner(&self) -> &crate::request_defaults::RequestDefaults {
        &self.inner
    }
}
const _: () = {
    #[allow(dead_code)]
    fn assert_client_hooks()
    where
        Client: ClientHooks<crate::request_defaults::RequestDefaults>,
    {}
};
#[allow(clippy::all)]
impl Client {
    /**Sends a signal to the producer of an active stream, for example `stop`

Sends a `POST` request to `/api/client/signal`

Arguments:
- `key`: The stream's key
- `body`
*/
    pub async fn send_signal<'a>(
        &'a self,
        key: &'a str,
        body: &'a types::SendSignal,
    ) -> Result<ResponseValue<types::SignalSent>, Error<()>> {
        let url = format!("{}/api/client/signal", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .query(&progenitor_client::QueryParam::new("key", &key))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "send_signal",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Lists the subscribers that are connected to this node

Sends a `GET` request to `/api/clients`

Arguments:
- `key`: Only subscribers of the stream at this key
- `tag`: Only subscribers with this tag
*/
    pub async fn list_clients<'a>(
        &'a self,
        key: Option<&'a str>,
        tag: Option<&'a str>,
    ) -> Result<ResponseValue<::std::vec::Vec<types::ClientRow>>, Error<()>> {
        let url = format!("{}/api/clients", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("key", &key))
            .query(&progenitor_client::QueryParam::new("tag", &tag))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "list_clients",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Disconnects a subscriber of this node. It may reconnect at once if its token is still valid

Sends a `DELETE` request to `/api/clients/{id}`

Arguments:
- `id`: The subscriber's id, from the list
*/
    pub async fn disconnect_client<'a>(
        &'a self,
        id: &'a str,
    ) -> Result<ResponseValue<types::Disconnected>, Error<()>> {
        let url = format!(
            "{}/api/clients/{}", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .delete(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "disconnect_client",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Writes a batch of events, all or nothing

Sends a `POST` request to `/api/event/add`

Arguments:
- `strict`: Refuse events with members other than `event` and `data`. Without it, the broker does not store such members, and names them in the response
- `body`
*/
    pub async fn add_events<'a>(
        &'a self,
        strict: Option<bool>,
        body: &'a types::AddEvents,
    ) -> Result<ResponseValue<types::Added>, Error<()>> {
        let url = format!("{}/api/event/add", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .query(&progenitor_client::QueryParam::new("strict", &strict))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "add_events",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reports that the process is alive. It does not ask the store. So nobody restarts healthy brokers because Redis fails

Sends a `GET` request to `/api/health`

*/
    pub async fn health<'a>(&'a self) -> Result<ResponseValue<ByteStream>, Error<()>> {
        let url = format!("{}/api/health", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self.client.get(url).headers(header_map).build()?;
        let info = OperationInfo {
            operation_id: "health",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => Ok(ResponseValue::stream(response)),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reports the broker's version, store and load

Sends a `GET` request to `/api/info`

*/
    pub async fn broker_info<'a>(
        &'a self,
    ) -> Result<ResponseValue<types::BrokerInfo>, Error<()>> {
        let url = format!("{}/api/info", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "broker_info",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reports that the store answers and takes writes, that this node receives what is written, and that the broker is not stopping

Sends a `GET` request to `/api/ready`

*/
    pub async fn ready<'a>(&'a self) -> Result<ResponseValue<ByteStream>, Error<()>> {
        let url = format!("{}/api/ready", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self.client.get(url).headers(header_map).build()?;
        let info = OperationInfo {
            operation_id: "ready",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => Ok(ResponseValue::stream(response)),
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Lists the active streams

Sends a `GET` request to `/api/stream`

Arguments:
- `pattern`: A glob on keys (`*`, `?`, `[…]`). A pattern without a wildcard is one exact key. Without a pattern the list has all active streams
*/
    pub async fn list_streams<'a>(
        &'a self,
        pattern: Option<&'a str>,
    ) -> Result<ResponseValue<::std::vec::Vec<types::StreamRow>>, Error<()>> {
        let url = format!("{}/api/stream", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("pattern", &pattern))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "list_streams",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Creates a stream

Sends a `POST` request to `/api/stream`

*/
    pub async fn create_stream<'a>(
        &'a self,
        body: &'a types::CreateStream,
    ) -> Result<ResponseValue<types::Access>, Error<()>> {
        let url = format!("{}/api/stream", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "create_stream",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Cancels a stream. It takes no more events. The broker disconnects each subscriber after it has sent all events

Sends a `POST` request to `/api/stream/cancel`

*/
    pub async fn cancel_stream<'a>(
        &'a self,
        body: &'a types::CancelStream,
    ) -> Result<ResponseValue<types::Finished>, Error<()>> {
        let url = format!("{}/api/stream/cancel", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "cancel_stream",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Ends a stream. It takes no more events. The broker disconnects each subscriber after it has sent all events

Sends a `POST` request to `/api/stream/end`

*/
    pub async fn end_stream<'a>(
        &'a self,
        body: &'a types::EndStream,
    ) -> Result<ResponseValue<types::Finished>, Error<()>> {
        let url = format!("{}/api/stream/end", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "end_stream",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reads all stored events of a stream, also after its end. The request does not count as a subscriber

Sends a `GET` request to `/api/stream/events`

Arguments:
- `key`: The stream's key
*/
    pub async fn stream_events<'a>(
        &'a self,
        key: &'a str,
    ) -> Result<ResponseValue<::std::vec::Vec<types::StoredEvent>>, Error<()>> {
        let url = format!("{}/api/stream/events", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("key", &key))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "stream_events",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reports that the producer failed. The stream takes no more events. The broker disconnects each subscriber after it has sent all events

Sends a `POST` request to `/api/stream/fail`

*/
    pub async fn fail_stream<'a>(
        &'a self,
        body: &'a types::FailStream,
    ) -> Result<ResponseValue<types::Finished>, Error<()>> {
        let url = format!("{}/api/stream/fail", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "fail_stream",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reports the state of a stream

Sends a `GET` request to `/api/stream/info`

Arguments:
- `key`: The stream's key
*/
    pub async fn stream_info<'a>(
        &'a self,
        key: &'a str,
    ) -> Result<ResponseValue<types::StreamState>, Error<()>> {
        let url = format!("{}/api/stream/info", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("key", &key))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "stream_info",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Renews the lease of a stream. Starts, changes or ends its lease and its stall. After a stop, it gives the producer more time, once

Sends a `POST` request to `/api/stream/renew`

*/
    pub async fn renew_stream<'a>(
        &'a self,
        body: &'a types::RenewStream,
    ) -> Result<ResponseValue<types::Renewed>, Error<()>> {
        let url = format!("{}/api/stream/renew", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "renew_stream",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Reads the signals of a stream. With `Accept: text/event-stream`, the broker sends them as they come until the stream is finished. Each event is named `signal`, and its id is `GENERATION:SEQ`. The broker answers 204 if the stream is finished and no signal follows

Sends a `GET` request to `/api/stream/signals`

Arguments:
- `after`: The number of the last signal that the producer has. 0 asks for all
- `generation`: The generation that the stream must have, as the broker gave it when the stream was created
- `key`: The stream's key
- `wait`: Seconds to wait if there are no signals. The default is 0
*/
    pub async fn read_signals<'a>(
        &'a self,
        after: Option<u64>,
        generation: Option<&'a str>,
        key: &'a str,
        wait: Option<u64>,
    ) -> Result<ResponseValue<types::Signals>, Error<()>> {
        let url = format!("{}/api/stream/signals", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("after", &after))
            .query(&progenitor_client::QueryParam::new("generation", &generation))
            .query(&progenitor_client::QueryParam::new("key", &key))
            .query(&progenitor_client::QueryParam::new("wait", &wait))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "read_signals",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Issues a token for one stream, for several, or for all streams whose keys begin with a prefix

Sends a `POST` request to `/api/stream/token`

*/
    pub async fn issue_token<'a>(
        &'a self,
        body: &'a types::IssueToken,
    ) -> Result<ResponseValue<types::Access>, Error<()>> {
        let url = format!("{}/api/stream/token", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        #[allow(unused_mut)]
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "issue_token",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
}
/// Items consumers will typically use such as the Client.
pub mod prelude {
    #[allow(unused_imports)]
    pub use super::Client;
}
