//! The table of settings: one row per setting. To add a setting, add a row.
//!
//! A row's doc comment is also its text in the reference.

use std::{borrow::Cow, net::IpAddr, path::PathBuf, time::Duration};

use super::{
    parse::{
        api_keys, delivery, header_name, key_prefix, log_filter, log_format, metrics_at, origins,
        script_file, secret_keys, store_url, switch, web_url,
    },
    source::Source,
    takes::{count, milliseconds, seconds, secret, text, zero_or_seconds},
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
        /// Keys that backends send as `X-API-KEY`. All of them are valid, so that you can rotate
        /// them.
        "api_key" => api_keys: Vec<Secret<String>>, text(
            "one or more keys of at least 8 printable characters, separated by commas",
            api_keys,
        ), default required;

        /// AES-256 keys that encrypt tokens. The broker makes new tokens with the first key. It
        /// accepts tokens of all keys, so that you can rotate them.
        "secret_key" => secret_keys: Vec<Secret<[u8; 32]>>, text(
            "one or more keys of 64 hex digits each, separated by commas",
            secret_keys,
        ), default required;
    }

    "Addresses" {
        /// The IP address on which the broker listens. With Docker Compose: the host's address.
        "address" => address: IpAddr, text(
            "an IP address to listen on",
            |text: &str| text.parse::<IpAddr>().ok(),
        ), default "127.0.0.1";

        /// The port on which the broker listens. With Docker Compose: the host's port.
        "port" => port: u16, text(
            "a port from 0 (any that is free) to 65535",
            |text: &str| text.parse::<u16>().ok(),
        ), default "8000";

        /// The public URL of the broker, or of the proxy in front of it. The broker builds
        /// `sse_url` and `ws_url` from it.
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
        /// broker's own origin is always allowed: that of `STREAMER_SERVER_ADDRESS`, and that of
        /// the `Host` header. Programs send no `Origin` and are always allowed.
        "allowed_origins" => allowed_origins: Option<Vec<String>>, text(
            "all, or origins such as https://app.example.com, separated by commas",
            origins,
        ), default "all";

        /// The header in which the proxy in front sends a subscriber's address. With `off` the
        /// address of the connection counts. Anybody can send such a header. So set it only if the
        /// proxy sets the header itself, and nobody can reach the broker without the proxy.
        "client_ip_header" => client_ip_header: Option<String>, text(
            "off, or the name of a header such as X-Real-IP",
            header_name,
        ), default "off";

        /// Whether the broker serves the console, a page at `/` for people. The console asks for an
        /// API key.
        "console" => console: bool, text("on or off", switch), default (
            "off",
            // In service a broker shows no more than it must. Somebody who tries it out sees the
            // console at once.
            or "on", if source.is_debug(), "`on` in debug builds"
        );
    }

    "Redis" {
        /// Where streams live. `memory:` is the embedded store, which loses all streams when the
        /// broker stops. It is the default of `cargo run`. A URL holds user, password and database.
        /// `rediss` is TLS.
        /// `redis-sentinel://user:password@host:port,host:port/name/database?sentinel=user:password`
        /// names some of the Sentinels, then the primary, and last the Sentinels' credentials.
        /// `redis-cluster://user:password@host:port,host:port` names some of the nodes of a
        /// Cluster, of Redis 7 or later. Docker Compose sets its own URL.
        "redis_url" => store: StoreUrl, secret(
            "a redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// URL \
             (with rediss for TLS), or memory:",
            store_url,
        ), default "redis://localhost:6379";

        /// How live events reach subscribers. `exclusive`: one Redis connection per subscriber,
        /// with `XREAD BLOCK`. `shared`: one Redis subscription for all subscribers of a node. Use
        /// `shared` for more than a few dozen subscribers. Nodes of both kinds may share a Redis.
        /// The embedded store ignores this setting.
        "delivery" => delivery: Delivery, text(
            "exclusive or shared",
            delivery,
        ), default "exclusive";

        /// Number of Redis connections for writes, management and history. All requests share
        /// them.
        "redis_pool" => redis_pool: usize, count(1..=64), default "4";

        /// How long the broker waits for Redis: for a connection, and for an answer.
        "redis_timeout" => redis_timeout: Duration, seconds(1..=600), default "5";

        /// How long the broker keeps subscribers connected while Redis fails. Then it disconnects
        /// them, and they resume on another node.
        "store_patience" => store_patience: Duration, seconds(0..=3_600), default "30";

        /// Prefix of every Redis key of the broker. The broker reads and writes no other key.
        "key_prefix" => key_prefix: String, text(
            "1 to 64 characters without braces, spaces or control characters",
            key_prefix,
        ), default "tinistreamer:";
    }

    "Streams and subscribers" {
        /// How long a stream lives after its last write, and a token after its issue. A request can
        /// set another time with `ttl`.
        "ttl" => ttl: Duration, seconds(TTL_SECONDS), default "600";

        /// About how many events a stream keeps. A request can set another number with
        /// `max_events`.
        "max_events" => max_events: u64, count(MAX_EVENTS), default "500";

        /// How long the producer of a stream may be silent before the broker abandons the stream. 0
        /// is no limit. A request can set another time with `lease`.
        "lease" => lease: Duration, zero_or_seconds(PROMISE_SECONDS), default "0";

        /// How long the producer of a stream may write no event before the broker abandons the
        /// stream. 0 is no limit. A request can set another time with `stall`.
        "stall" => stall: Duration, zero_or_seconds(PROMISE_SECONDS), default "0";

        /// How many active streams one API key may have created on this node. The broker answers
        /// further requests with 429. 0 is no limit.
        "max_streams_per_key" => max_streams_per_key: usize, count(0..=1_000_000), default "0";

        /// How many subscribers this node serves at a time. The broker answers further ones with
        /// 429. In exclusive delivery each holds a Redis connection.
        "max_clients" => max_clients: usize, count(1..=1_000_000), default (
            "20",
            or "10000", if delivery == Some(Delivery::Shared), "`10000` in `shared` delivery"
        );

        /// How many subscribers one stream may have on this node at a time. The broker answers
        /// further ones with 429. 0 is no limit.
        "max_clients_per_stream" => max_clients_per_stream: usize,
            count(0..=1_000_000), default "0";

        /// How many subscribers one IP address, or one IPv6 /64, may have on this node at a time.
        /// The broker answers further ones with 429. 0 is no limit. Behind a proxy, also set
        /// `STREAMER_CLIENT_IP_HEADER`. Otherwise all subscribers have the proxy's address.
        "max_clients_per_address" => max_clients_per_address: usize,
            count(0..=1_000_000), default "0";

        /// How many producers may wait for signals on this node at a time. The broker answers
        /// further ones with 429.
        "max_producers" => max_producers: usize, count(1..=1_000_000), default "10000";

        /// How many streams a subscriber may follow over one connection, and how many a token may
        /// list.
        "max_keys_per_client" => max_keys_per_client: usize, count(1..=MAX_KEYS), default "32";

        /// How long the broker keeps a connection that had no event, or whose subscriber took
        /// nothing. The subscriber may reconnect and resume.
        "client_timeout" => client_timeout: Duration, seconds(1..=86_400), default "300";

        /// After this silence the broker sends an SSE comment or a WebSocket ping. Proxies must
        /// wait longer. In exclusive delivery the broker sends an SSE comment after 2 seconds at
        /// the latest, because only that shows that a subscriber left.
        "heartbeat" => heartbeat: Duration, seconds(1..=3_600), default "10";
    }

    "Limits of requests" {
        /// The most bytes of a JSON body. The broker answers a larger one with 413. The default is
        /// 16 MiB.
        "max_body" => max_body: usize, count(1_024..=1 << 30), default "16777216";

        /// How long a JSON body may take to arrive. After that the broker answers 408.
        "body_timeout" => body_timeout: Duration, seconds(1..=3_600), default "30";

        /// The most bytes of an event, name and data together as Redis stores them. The broker
        /// answers a larger one with 413. The default is 1 MiB.
        "max_event" => max_event: usize, count(256..=64 << 20), default "1048576";

        /// The most bytes of a line of an NDJSON upload, and of a message of a producer's
        /// WebSocket. The default is 1 MiB.
        "max_line" => max_line: usize, count(256..=64 << 20), default "1048576";

        /// The most events of a batch, which is one POST to `/api/event/add`. The broker answers a
        /// larger one with 413.
        "max_batch" => max_batch: usize, count(1..=MAX_BATCH), default "10000";
    }

    "Scripts" {
        /// A file with hooks in Lua, which `docs/guides/scripts.md` describes. It needs a program
        /// that was built with the feature `scripts`. With `off` there is no script.
        "script" => script: Option<PathBuf>, text(
            "off, or the path of a Lua file",
            script_file,
        ), default "off";

        /// Any text for the script: `startup` gets it as `cli.script_data`.
        "script_data" => script_data: Secret<String>, secret(
            "any text",
            |text: &str| Some(Secret::new(text.to_owned())),
        ), default "";

        /// How often the broker calls the script's hook `tick`.
        "script_tick" => script_tick: Duration, milliseconds(10..=3_600_000), default "500";

        /// How long a call of a hook may take, the wait for its turn included.
        "script_timeout" => script_timeout: Duration, seconds(1..=60), default "2";

        /// How many instructions of Lua one call of a hook may run.
        "script_instructions" => script_instructions: u64,
            count(1_000..=1_000_000_000_000_u64), default "10000000";

        /// The most bytes of memory of the script. The default is 64 MiB.
        "script_memory" => script_memory: usize, count(1 << 20..=1 << 30), default "67108864";

        /// Whether the script may make HTTP requests with the module `http`.
        "script_http" => script_http: bool, text("on or off", switch), default "off";

        /// Whether the script may open `SQLite` databases with the module `sqlite`.
        "script_sqlite" => script_sqlite: bool, text("on or off", switch), default "off";

        /// Whether the script may use all of `os` and `io`, and load binary chunks. It can then
        /// read and change what the broker's user can.
        "script_unsafe" => script_unsafe: bool, text("on or off", switch), default "off";
    }

    "Operation" {
        /// How long the broker may take to stop after SIGTERM. In this time it disconnects
        /// subscribers and finishes running writes.
        "shutdown_grace" => shutdown_grace: Duration, seconds(1..=3_600), default "10";

        /// Where the broker serves metrics for Prometheus, which `docs/reference/metrics.md` lists.
        /// `on`: at `/metrics` of its own port, without a key. An address and port: at `/metrics`
        /// there, and nothing else. Keep metrics from the public.
        "metrics" => metrics: MetricsAt, text(
            "on, off, or an IP address and port such as 127.0.0.1:9464",
            metrics_at,
        ), default "on";

        /// What the broker logs: a level, or a filter by module.
        "log" => log: String, text(
            "a level (off, error, warn, info, debug, trace) \
             or a filter such as info,tinistreamer::session=debug",
            log_filter,
        ), default "info";

        /// The format of the log. `text`: lines for people. `json`: a JSON object per line. `auto`:
        /// text on a terminal, JSON elsewhere.
        "log_format" => log_format: LogFormat, text(
            "auto, text or json",
            log_format,
        ), default "auto";
    }
}
