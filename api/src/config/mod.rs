//! Settings: one struct, read once at start from `Rocket.toml` and the environment (`STREAMER_*`),
//! which wins.
//!
//! [`Settings::load`] lists every problem at once, each in one line that names the setting, what it
//! holds (never a secret) and what it may hold.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use rocket::figment::Figment;

use self::source::Source;

mod parse;
mod source;

/// What every environment variable of ours starts with.
pub const ENV_PREFIX: &str = "STREAMER_";

/// The bounds of a lifetime, of a stream as of a token: one second to seven days.
pub const TTL_SECONDS: RangeInclusive<u64> = 1..=604_800;

/// The bounds of the number of events kept in a stream.
pub const MAX_EVENTS: RangeInclusive<u64> = 1..=1_000_000;

/// The most events that `STREAMER_MAX_BATCH` may allow in a batch.
pub const MAX_BATCH: usize = 100_000;

/// The most streams that `STREAMER_MAX_KEYS_PER_CLIENT` may allow.
pub const MAX_KEYS: usize = 256;

/// The names of all settings, as in `Rocket.toml`; in the environment in capitals behind
/// [`ENV_PREFIX`].
pub const NAMES: [&str; 32] = [
    "address",
    "allowed_origins",
    "api_key",
    "body_timeout",
    "client_ip_header",
    "client_timeout",
    "console",
    "delivery",
    "heartbeat",
    "key_prefix",
    "log",
    "log_format",
    "max_batch",
    "max_body",
    "max_clients",
    "max_clients_per_address",
    "max_clients_per_stream",
    "max_event",
    "max_events",
    "max_keys_per_client",
    "max_line",
    "max_streams_per_key",
    "metrics",
    "port",
    "redis_pool",
    "redis_timeout",
    "redis_url",
    "secret_key",
    "server_address",
    "shutdown_grace",
    "store_patience",
    "ttl",
];

/// A key that must not be shown: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself, for the one place that uses it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where streams live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`, the embedded store.
    Memory,
    /// `redis://`, `rediss://` or `unix://`; may hold a password.
    Redis(Secret<String>),
    /// `redis-sentinel://` or `rediss-sentinel://`: the Sentinels, who know which server is the
    /// primary.
    Sentinels(Secret<Sentinels>),
    /// `redis-cluster://` or `rediss-cluster://`: a URL for each of the nodes that are asked for
    /// the others.
    Cluster(Secret<Vec<String>>),
}

/// Who is asked for the primary
/// (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>). Holds passwords.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Sentinels {
    /// A URL for each Sentinel.
    pub nodes: Vec<String>,
    /// The name under which they watch the primary.
    pub service: String,
    /// A URL with what the servers themselves want, credentials and database, but with a host that
    /// is none of theirs.
    pub server: String,
}

/// How live entries reach a node's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// One Redis connection per client, doing `XREAD BLOCK`.
    Exclusive,
    /// All clients of a node over one subscription.
    Shared,
}

impl Delivery {
    /// The delivery as text, as it is set and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, for programs elsewhere.
    Auto,
    /// For people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// Where what is measured can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAt {
    /// Nowhere.
    Nowhere,
    /// At the broker's own address.
    Broker,
    /// At an address of its own, where there is nothing else.
    Address(SocketAddr),
}

/// All that can be set. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keys for backends, any of which is good, so that they can be rotated.
    pub api_keys: Vec<Secret<String>>,
    /// AES-256 keys for client tokens: the first seals, all open.
    pub secret_keys: Vec<Secret<[u8; 32]>>,
    /// Where streams live.
    pub store: StoreUrl,
    /// Public URL from which client URLs are built, without a trailing slash.
    pub server_address: String,
    /// How long a stream lives after its last write, and a token after its issue.
    pub ttl: Duration,
    /// How long a client connection is kept without an event.
    pub client_timeout: Duration,
    /// Connections for writes and management.
    pub redis_pool: usize,
    /// Streaming clients at a time.
    pub max_clients: usize,
    /// Streaming clients of one stream at a time; 0 is no limit.
    pub max_clients_per_stream: usize,
    /// Streaming clients of one address at a time; 0 is no limit.
    pub max_clients_per_address: usize,
    /// Streams that one client may follow over a connection, and that a token may list.
    pub max_keys_per_client: usize,
    /// Active streams of one API key, started on this node; 0 is no limit.
    pub max_streams_per_key: usize,
    /// The header in which the proxy in front says the client's address; none: the connection's own
    /// counts.
    pub client_ip_header: Option<String>,
    /// Whether the console is served at `/`.
    pub console: bool,
    /// Origins of pages that may read answers and open a `WebSocket`; none means all.
    pub allowed_origins: Option<Vec<String>>,
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// How live entries reach clients.
    pub delivery: Delivery,
    /// Events kept per stream, unless it asked for another figure.
    pub max_events: u64,
    /// Prefix of every Redis key.
    pub key_prefix: String,
    /// Silence after which an SSE comment or a WebSocket ping goes out.
    pub heartbeat: Duration,
    /// How long Redis may take to connect or to answer.
    pub redis_timeout: Duration,
    /// How long a client is kept while the store fails; then it is closed, to resume elsewhere.
    pub store_patience: Duration,
    /// How long a shutdown may take.
    pub shutdown_grace: Duration,
    /// The largest JSON body.
    pub max_body: usize,
    /// How long a JSON body may take to arrive.
    pub body_timeout: Duration,
    /// The largest event: name and data together, as they are stored.
    pub max_event: usize,
    /// The largest line of an NDJSON upload, and message of a WebSocket upload.
    pub max_line: usize,
    /// The most events in one batch.
    pub max_batch: usize,
    /// Where `/metrics` is.
    pub metrics: MetricsAt,
    /// What is logged: a level, or a filter such as `info,tinistreamer::session=debug`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// One thing wrong with the settings, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Settings {
    /// Reads the settings from Rocket's configuration (defaults, `Rocket.toml`, `ROCKET_*`) and
    /// from `environment`, which wins. Variables without our prefix are not looked at; an empty one
    /// counts as not set.
    pub fn load(
        figment: &Figment,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(ENV_PREFIX)?.to_owned(), value)))
            .collect();
        let mut source = Source::new(figment, &environment);
        source.report_unknown_names();
        let settings = source.settings();
        match settings {
            Some(settings) if source.problems.is_empty() => Ok(settings),
            _ => Err(source.problems),
        }
    }

    /// How live entries come from Redis; none with the embedded store.
    #[must_use]
    pub fn redis_delivery(&self) -> Option<Delivery> {
        (self.store != StoreUrl::Memory).then_some(self.delivery)
    }
}

/// The environment variable of a setting.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: [(&str, &str); 2] = [
        ("STREAMER_API_KEY", "0123456789"),
        (
            "STREAMER_SECRET_KEY",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ),
    ];

    fn load(more: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let pairs = GOOD
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        // A later pair wins, as when a test overrides a good value.
        let environment: BTreeMap<_, _> = pairs.collect();
        Settings::load(&Figment::new(), environment)
            .map_err(|problems| problems.into_iter().map(|problem| problem.0).collect())
    }

    #[test]
    fn the_public_url_follows_the_port_unless_it_is_set() {
        let url = |more: &[_]| load(more).unwrap().server_address;
        assert_eq!(url(&[("STREAMER_PORT", "9000")]), "http://localhost:9000");
        assert_eq!(url(&[("STREAMER_PORT", "0")]), "http://localhost:8000");
        assert_eq!(
            url(&[
                ("STREAMER_PORT", "9000"),
                ("STREAMER_SERVER_ADDRESS", "https://a.example/b/")
            ]),
            "https://a.example/b"
        );
    }

    #[test]
    fn the_url_of_a_cluster_names_some_of_its_nodes() {
        let nodes = |url| load(&[("STREAMER_REDIS_URL", url)]).map(|settings| settings.store);
        let cluster = |nodes: &[&str]| {
            StoreUrl::Cluster(Secret::new(nodes.iter().map(ToString::to_string).collect()))
        };
        assert_eq!(nodes("redis-cluster://a:1"), Ok(cluster(&["redis://a:1"])));
        assert_eq!(
            nodes("rediss-cluster://u:p@a:1, b:2"),
            Ok(cluster(&["rediss://u:p@a:1", "rediss://u:p@b:2"]))
        );
        for bad in [
            "redis-cluster://",
            "redis-cluster://a:x",
            "redis-cluster://a:1,b:x",
            "cluster://a:1",
        ] {
            assert!(nodes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_url_of_sentinels_names_them_and_what_they_watch() {
        let found = |url| match load(&[("STREAMER_REDIS_URL", url)]).map(|settings| settings.store)
        {
            Ok(StoreUrl::Sentinels(sentinels)) => Some(sentinels.reveal().clone()),
            _ => None,
        };
        let plain = found("redis-sentinel://a:1,b:2/streams").unwrap();
        assert_eq!(
            (plain.nodes.as_slice(), plain.service.as_str()),
            (
                ["redis://a:1".to_owned(), "redis://b:2".to_owned()].as_slice(),
                "streams"
            )
        );
        let full = found("rediss-sentinel://u:p%40@a:1/streams/3?sentinel=:q").unwrap();
        assert_eq!(full.nodes, ["rediss://:q@a:1"]);
        assert_eq!(
            (full.service.as_str(), full.server.as_str()),
            ("streams", "rediss://u:p%40@sentinel.invalid/3")
        );
        for bad in [
            "redis-sentinel://",
            "redis-sentinel://a:1",
            "redis-sentinel://a:1/",
            "redis-sentinel://a:x/s",
            "redis-sentinel://a:1/s/db",
        ] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = load(&[]).unwrap();
        assert_eq!(
            settings.store,
            StoreUrl::Redis(Secret::new("redis://localhost:6379".into()))
        );
        assert_eq!(settings.server_address, "http://localhost:8000");
        assert_eq!(
            (
                settings.ttl.as_secs(),
                settings.client_timeout.as_secs(),
                settings.heartbeat.as_secs()
            ),
            (600, 300, 10)
        );
        assert_eq!(
            (
                settings.redis_pool,
                settings.max_clients,
                settings.max_events
            ),
            (4, 20, 500)
        );
        assert_eq!(
            (settings.address.to_string().as_str(), settings.port),
            ("127.0.0.1", 8000)
        );
        assert_eq!(
            (settings.delivery, settings.key_prefix.as_str()),
            (Delivery::Exclusive, "tinistreamer:")
        );
        assert_eq!(
            (settings.allowed_origins, settings.metrics),
            (None, MetricsAt::Broker)
        );
        assert_eq!(
            (settings.log.as_str(), settings.log_format),
            ("info", LogFormat::Auto)
        );
    }

    #[test]
    fn every_problem_is_told_at_once_each_in_one_line_that_names_the_setting() {
        let problems = load(&[
            ("STREAMER_TTL", "ten"),
            ("STREAMER_PORT", "70000"),
            ("STREAMER_TLL", "5"),
            ("STREAMER_DELIVERY", "pigeon"),
        ])
        .unwrap_err();
        assert_eq!(problems.len(), 4);
        assert!(problems.iter().all(|line| !line.contains('\n')));
        for (setting, holds) in [
            ("STREAMER_TTL ", "ten"),
            ("STREAMER_PORT ", "70000"),
            ("STREAMER_DELIVERY ", "pigeon"),
        ] {
            assert!(
                problems.iter().any(|line| line.starts_with(setting)
                    && line.contains(holds)
                    && line.contains("takes")),
                "{setting}"
            );
        }
        assert!(
            problems
                .iter()
                .any(|line| line == "STREAMER_TLL is not a setting; did you mean STREAMER_TTL?")
        );
    }

    #[test]
    fn a_missing_required_setting_is_named() {
        let problems = Settings::load(&Figment::new(), []).unwrap_err();
        let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            text[0].starts_with("STREAMER_API_KEY is not set")
                && text[1].starts_with("STREAMER_SECRET_KEY is not set"),
            "{text:?}"
        );
    }

    #[test]
    fn no_secret_is_shown_in_a_problem_or_in_debug() {
        let problems = load(&[
            ("STREAMER_SECRET_KEY", "cafebabe"),
            ("STREAMER_API_KEY", "hush"),
            ("STREAMER_REDIS_URL", "http://user:hunter2@host"),
        ]);
        let told = problems.unwrap_err().join("\n");
        assert!(
            !told.contains("cafebabe") && !told.contains("hush") && !told.contains("hunter2"),
            "{told}"
        );
        let shown = format!(
            "{:?}",
            load(&[("STREAMER_REDIS_URL", "redis://user:hunter2@host:1")]).unwrap()
        );
        assert!(
            !shown.contains("hunter2")
                && !shown.contains("0123456789")
                && !shown.contains("000102"),
            "{shown}"
        );
    }

    #[test]
    fn secrets_are_text_even_when_they_look_like_numbers_and_can_be_rotated() {
        let settings = load(&[("STREAMER_API_KEY", "0123456789, second-key")]).unwrap();
        let keys: Vec<_> = settings
            .api_keys
            .iter()
            .map(|key| key.reveal().as_str())
            .collect();
        assert_eq!(keys, ["0123456789", "second-key"]);
    }

    #[test]
    fn a_file_may_hold_numbers_or_text_and_the_environment_wins() {
        let figment = Figment::new()
            .join(("ttl", 60))
            .join(("max_events", "7"))
            .join(("allowed_origins", ["http://a", "http://b"]));
        let environment = GOOD.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::load(&figment, environment.clone()).unwrap();
        assert_eq!((settings.ttl.as_secs(), settings.max_events), (60, 7));
        assert_eq!(settings.allowed_origins.unwrap(), ["http://a", "http://b"]);
        let with_env = environment
            .into_iter()
            .chain([("STREAMER_TTL".to_owned(), "61".to_owned())]);
        assert_eq!(
            Settings::load(&figment, with_env).unwrap().ttl.as_secs(),
            61
        );
    }

    proptest! {
        #[test]
        fn a_number_is_taken_when_and_only_when_it_is_in_range(number in any::<u64>()) {
            let loaded = load(&[("STREAMER_TTL", &number.to_string())]);
            prop_assert_eq!(loaded.is_ok(), TTL_SECONDS.contains(&number));
        }

        #[test]
        fn no_text_in_any_setting_makes_loading_panic(text in ".*", which in 0..NAMES.len()) {
            let _ = load(&[(&variable(NAMES[which]), &text)]);
        }
    }
}
