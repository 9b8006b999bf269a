//! The table of settings: one row per setting. To add a setting, add a row.
//!
//! A row's doc comment is also its text in the reference.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use super::{
    parse::{
        api_keys, delivery, header_name, key_prefix, log_filter, log_format, metrics_at, origins,
        secret_keys, store_url, switch, web_url,
    },
    source::Source,
    takes::{count, seconds, secret, text, zero_or_seconds},
    values::{
        Delivery, LogFormat, MAX_BATCH, MAX_EVENTS, MAX_KEYS, MetricsAt, PROMISE_SECONDS, Secret,
        StoreUrl, TTL_SECONDS,
    },
};

/// A row of the reference.
pub(super) struct Setting {
    /// The heading above the row in `.env.example`.
    pub(super) group: &'static str,
    /// As in `Rocket.toml`.
    pub(super) name: &'static str,
    /// None: the setting is required.
    pub(super) default: Option<&'static str>,
    /// The default in a special case: "`on` in debug builds".
    pub(super) other_default: Option<&'static str>,
    pub(super) takes: Cow<'static, str>,
    pub(super) about: &'static str,
}

/// The default that applies to this start: none of a required setting.
macro_rules! default_value {
    (required) => {
        None
    };
    ($text:literal) => {
        Some(Cow::Borrowed($text))
    };
    (($text:literal, or $other:expr, if $condition:expr, $note:literal)) => {
        Some(if $condition {
            Cow::from($other)
        } else {
            Cow::Borrowed($text)
        })
    };
}

/// The defaults that the reference shows.
macro_rules! default_shown {
    (required) => {
        (None, None)
    };
    ($text:literal) => {
        (Some($text), None)
    };
    (($text:literal, or $other:expr, if $condition:expr, $note:literal)) => {
        (Some($text), Some($note))
    };
}

/// Generates the struct, the names, the reader and the reference. Rows are read from top to bottom:
/// a condition of a default may use the fields above it, each an `Option`.
macro_rules! settings {
    ($source:ident: $($group:literal {$(
        $(#[doc = $about:literal])+
        $name:literal => $field:ident: $type:ty, $takes:expr, default $default:tt;
    )+})+) => {
        /// All that can be set. Sizes are in bytes.
        #[derive(Clone, Debug)]
        pub struct Settings {$($(
            $(#[doc = $about])+
            pub $field: $type,
        )+)+}

        /// The names of all settings, as in `Rocket.toml`. In the environment they are in capitals
        /// and begin with [`ENV_PREFIX`](super::ENV_PREFIX).
        pub const NAMES: &[&str] = &[$($($name,)+)+];

        /// Reads every setting. None when one is not usable: `problems` then has all of them.
        pub(super) fn read($source: &mut Source<'_>) -> Option<Settings> {
            $($(let $field = {
                let default = default_value!($default);
                $source.read($name, &$takes, default)
            };)+)+
            Some(Settings {$($($field: $field?,)+)+})
        }

        /// The reference, row by row.
        pub(super) fn reference() -> Vec<Setting> {
            vec![$($({
                let (default, other_default) = default_shown!($default);
                Setting {
                    group: $group,
                    name: $name,
                    default,
                    other_default,
                    takes: $takes.short,
                    about: concat!($($about),+).trim(),
                }
            },)+)+]
        }
    };
}

settings! { source:
    "Required. `tinistreamer keygen >> .env` makes both. `cargo run` makes up keys for one run." {
        /// Keys that backends send as `X-API-KEY`. All are valid, so that you can rotate them.
        "api_key" => api_keys: Vec<Secret<String>>, text(
            "one or more keys of at least 8 printable characters, separated by commas",
            api_keys,
        ), default required;

        /// AES-256 keys of client tokens. The first seals new tokens. All open tokens, so that you
        /// can rotate them.
        "secret_key" => secret_keys: Vec<Secret<[u8; 32]>>, text(
            "one or more keys of 64 hex digits each, separated by commas",
            secret_keys,
        ), default required;
    }

    "Addresses" {
        /// Where the broker listens. With Docker Compose: the host's address.
        "address" => address: IpAddr, text(
            "an IP address to listen on",
            |text: &str| text.parse::<IpAddr>().ok(),
        ), default "127.0.0.1";

        /// Where the broker listens. With Docker Compose: the host's port.
        "port" => port: u16, text(
            "a port from 0 (any that is free) to 65535",
            |text: &str| text.parse::<u16>().ok(),
        ), default "8000";

        /// Public URL of the broker, or of the proxy in front of it. The broker builds the URLs for
        /// subscribers from it.
        "server_address" => server_address: String, text(
            "an http:// or https:// URL without query",
            web_url,
        ), default (
            "http://localhost:8000",
            or format!("http://localhost:{}", port.unwrap_or_default()),
            // The broker does not know a free port before it listens.
            if port.is_some_and(|port| port > 0),
            "`http://localhost:9000` where `STREAMER_PORT` is 9000"
        );

        /// Origins of pages that may read responses (CORS) and open WebSocket connections. The
        /// broker's own origin always may: that of `STREAMER_SERVER_ADDRESS`, and that of the
        /// `Host` header. So may programs, which send no `Origin`.
        "allowed_origins" => allowed_origins: Option<Vec<String>>, text(
            "all, or origins such as https://app.example.com, separated by commas",
            origins,
        ), default "all";

        /// The header in which the proxy in front sends a subscriber's address. `off`: the
        /// connection's own address counts. Set it only where the proxy sets the header itself and
        /// nobody reaches the broker without the proxy, as anybody can send such a header.
        "client_ip_header" => client_ip_header: Option<String>, text(
            "off, or the name of a header such as X-Real-IP",
            header_name,
        ), default "off";

        /// The console, a page at `/` for people. It asks for an API key.
        "console" => console: bool, text("on or off", switch), default (
            "off",
            // In service a broker shows no more than it must. Somebody who tries it out sees the
            // console at once.
            or "on", if source.is_debug(), "`on` in debug builds"
        );
    }

    "Redis" {
        /// Where streams live. `memory:` is the embedded store, which keeps nothing: the default of
        /// `cargo run`. URLs hold user, password and database; `rediss` is TLS.
        /// `redis-sentinel://user:password@host:port,host:port/name/database?sentinel=user:password`
        /// has some of the Sentinels, the name of the primary, and last the Sentinels' credentials.
        /// `redis-cluster://user:password@host:port,host:port` has some of the nodes, of Redis 7 or
        /// later. Docker Compose sets its own.
        "redis_url" => store: StoreUrl, secret(
            "a redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// URL \
             (with rediss for TLS), or memory:",
            store_url,
        ), default "redis://localhost:6379";

        /// How live events reach subscribers. `exclusive`: one Redis connection per subscriber,
        /// with `XREAD BLOCK`. `shared`: one subscription for all subscribers of a node, for more
        /// than a few dozen. Nodes of both kinds may share a Redis. The embedded store ignores it.
        "delivery" => delivery: Delivery, text(
            "exclusive or shared",
            delivery,
        ), default "exclusive";

        /// Redis connections for writes, management and history, which all requests share.
        "redis_pool" => redis_pool: usize, count(1..=64), default "4";

        /// Time for Redis to connect or to answer.
        "redis_timeout" => redis_timeout: Duration, seconds(1..=600), default "5";

        /// How long the broker keeps subscribers while Redis fails. Then it disconnects them, and
        /// they resume on another node.
        "store_patience" => store_patience: Duration, seconds(0..=3_600), default "30";

        /// Prefix of every Redis key. The broker touches no other key.
        "key_prefix" => key_prefix: String, text(
            "1 to 64 characters without braces, spaces or control characters",
            key_prefix,
        ), default "tinistreamer:";
    }

    "Streams and subscribers" {
        /// How long a stream lives after its last write, and a client token after its issue.
        "ttl" => ttl: Duration, seconds(TTL_SECONDS), default "600";

        /// Events that a stream keeps, about, unless its creator set another number.
        "max_events" => max_events: u64, count(MAX_EVENTS), default "500";

        /// How long the producer of a stream may be silent, unless the creator set another time.
        /// Then the broker abandons the stream. 0: for ever.
        "lease" => lease: Duration, zero_or_seconds(PROMISE_SECONDS), default "0";

        /// How long the producer of a stream may write no event, unless the creator set another
        /// time. Then the broker abandons the stream. 0: for ever.
        "stall" => stall: Duration, zero_or_seconds(PROMISE_SECONDS), default "0";

        /// Active streams of one API key that this node created. Past it: 429. 0 is no limit.
        "max_streams_per_key" => max_streams_per_key: usize, count(0..=1_000_000), default "0";

        /// Subscribers of this node at a time. Past it: 429. In exclusive delivery each holds a
        /// Redis connection.
        "max_clients" => max_clients: usize, count(1..=1_000_000), default (
            "20",
            or "10000", if delivery == Some(Delivery::Shared), "`10000` in `shared` delivery"
        );

        /// Subscribers of one stream at a time. Past it: 429. 0 is no limit.
        "max_clients_per_stream" => max_clients_per_stream: usize,
            count(0..=1_000_000), default "0";

        /// Subscribers of one IP address, or of one IPv6 /64, at a time. Past it: 429. 0 is no
        /// limit. Behind a proxy, set `STREAMER_CLIENT_IP_HEADER` too: else all subscribers have
        /// the proxy's address.
        "max_clients_per_address" => max_clients_per_address: usize,
            count(0..=1_000_000), default "0";

        /// Producers that wait for signals on this node at a time. Past it: 429.
        "max_producers" => max_producers: usize, count(1..=1_000_000), default "10000";

        /// Streams that a subscriber may follow over one connection, and that a client token may
        /// list.
        "max_keys_per_client" => max_keys_per_client: usize, count(1..=MAX_KEYS), default "32";

        /// How long the broker keeps a connection without an event, or whose subscriber takes none.
        /// A subscriber may reconnect and resume.
        "client_timeout" => client_timeout: Duration, seconds(1..=86_400), default "300";

        /// Silence after which the broker sends an SSE comment or a WebSocket ping. Proxies must
        /// wait longer. In exclusive delivery it sends an SSE comment after 2 seconds at the
        /// latest, as only that shows that a subscriber left.
        "heartbeat" => heartbeat: Duration, seconds(1..=3_600), default "10";
    }

    "Limits of requests" {
        /// Bytes of a JSON body. The default is 16 MiB.
        "max_body" => max_body: usize, count(1_024..=1 << 30), default "16777216";

        /// Time for a JSON body to arrive. Past it: 408.
        "body_timeout" => body_timeout: Duration, seconds(1..=3_600), default "30";

        /// Bytes of an event, name and data together as Redis stores them. Past it: 413. The
        /// default is 1 MiB.
        "max_event" => max_event: usize, count(256..=64 << 20), default "1048576";

        /// Bytes of a line of an NDJSON upload, and of a message of a publisher's WebSocket. The
        /// default is 1 MiB.
        "max_line" => max_line: usize, count(256..=64 << 20), default "1048576";

        /// Events of a batch, which is one POST to `/api/event/add`.
        "max_batch" => max_batch: usize, count(1..=MAX_BATCH), default "10000";
    }

    "Operation" {
        /// How long a stop by SIGTERM may take. In this time the broker disconnects subscribers and
        /// finishes running writes.
        "shutdown_grace" => shutdown_grace: Duration, seconds(1..=3_600), default "10";

        /// Metrics for Prometheus, listed in `docs/reference/metrics.md`. `on`: at `/metrics` of
        /// the broker's own port, without a key. An address: there, and nothing else is. Keep them
        /// from the public.
        "metrics" => metrics: MetricsAt, text(
            "on, off, or an IP address and port such as 127.0.0.1:9464",
            metrics_at,
        ), default "on";

        /// What the broker logs.
        "log" => log: String, text(
            "a level (off, error, warn, info, debug, trace) \
             or a filter such as info,tinistreamer::session=debug",
            log_filter,
        ), default "info";

        /// Format of the log. `text`: lines for people. `json`: a JSON object per line. `auto`:
        /// text on a terminal, JSON elsewhere.
        "log_format" => log_format: LogFormat, text(
            "auto, text or json",
            log_format,
        ), default "auto";
    }
}
