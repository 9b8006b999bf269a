//! Settings: one struct, read once at start from `Rocket.toml` and the environment (`STREAMER_*`), which wins.
//!
//! [`Settings::load`] lists every problem at once, each in one line that names the setting, what it holds (never a secret)
//! and what it may hold.

use std::{collections::BTreeMap, fmt, net::IpAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use rocket::figment::{Figment, value::Value};

/// What every environment variable of ours starts with.
pub const ENV_PREFIX: &str = "STREAMER_";

/// The bounds of a lifetime, of a stream as of a token: one second to seven days.
pub const TTL_SECONDS: RangeInclusive<u64> = 1..=604_800;

/// The bounds of the number of events kept in a stream.
pub const MAX_EVENTS: RangeInclusive<u64> = 1..=1_000_000;

/// The names of all settings, as in `Rocket.toml`; in the environment in capitals behind [`ENV_PREFIX`].
pub const NAMES: [&str; 22] = [
    "address",
    "allowed_origins",
    "api_key",
    "client_timeout",
    "delivery",
    "heartbeat",
    "key_prefix",
    "log",
    "max_batch",
    "max_body",
    "max_clients",
    "max_events",
    "max_line",
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
    /// CORS origins; none means all.
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
    /// The largest line of an NDJSON upload, and message of a WebSocket upload.
    pub max_line: usize,
    /// The most events in one batch.
    pub max_batch: usize,
    /// What is logged: a level, or a filter such as `info,tinistreamer::feed=debug`.
    pub log: String,
}

/// One thing wrong with the settings, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Settings {
    /// Reads the settings from Rocket's configuration (defaults, `Rocket.toml`, `ROCKET_*`) and from `environment`, which
    /// wins. Variables without our prefix are not looked at; an empty one counts as not set.
    pub fn load(figment: &Figment, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Problem>> {
        let environment: BTreeMap<String, String> =
            environment.into_iter().filter_map(|(name, value)| Some((name.strip_prefix(ENV_PREFIX)?.to_owned(), value))).collect();
        let mut source = Source { figment, environment: &environment, problems: Vec::new() };
        source.report_unknown_names();
        let settings = source.settings();
        match settings {
            Some(settings) if source.problems.is_empty() => Ok(settings),
            _ => Err(source.problems),
        }
    }
}

/// Where a value comes from, and the problems met so far.
struct Source<'a> {
    figment: &'a Figment,
    environment: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Source<'_> {
    /// Every setting in turn. `None` when any is unusable; the problems then say which, all of them.
    fn settings(&mut self) -> Option<Settings> {
        let api_keys = self.required("api_key", "one or more keys of at least 8 printable characters, separated by commas", api_keys);
        let secret_keys = self.required("secret_key", "one or more keys of 64 hex digits each, separated by commas", secret_keys);
        let store = self.value("redis_url", "redis://localhost:6379", "a redis://, rediss:// or unix:// URL, or memory:", store_url);
        let server_address = self.value("server_address", "http://localhost:8000", "an http:// or https:// URL without query", web_url);
        let ttl = self.seconds("ttl", 600, TTL_SECONDS);
        let client_timeout = self.seconds("client_timeout", 300, 1..=86_400);
        let redis_pool = self.count("redis_pool", 4, 1..=64);
        let allowed_origins =
            self.value("allowed_origins", "all", "all, or origins such as https://app.example.com, separated by commas", origins);
        let address = self.value("address", "127.0.0.1", "an IP address to listen on", |text| text.parse().ok());
        let port = self.value("port", "8000", "a port from 0 (any that is free) to 65535", |text| text.parse().ok());
        let delivery = self.value("delivery", "exclusive", "exclusive or shared", |text| {
            [Delivery::Exclusive, Delivery::Shared].into_iter().find(|delivery| delivery.as_str() == text)
        });
        // Where each client holds a Redis connection, few are enough to begin with.
        let max_clients = self.count("max_clients", if delivery == Some(Delivery::Shared) { 10_000 } else { 20 }, 1..=1_000_000);
        let max_events = self.count("max_events", 500, MAX_EVENTS);
        let key_prefix =
            self.value("key_prefix", "tinistreamer:", "1 to 64 characters without braces, spaces or control characters", key_prefix);
        let heartbeat = self.seconds("heartbeat", 10, 1..=3_600);
        let redis_timeout = self.seconds("redis_timeout", 5, 1..=600);
        let store_patience = self.seconds("store_patience", 30, 0..=3_600);
        let shutdown_grace = self.seconds("shutdown_grace", 10, 1..=3_600);
        let max_body = self.count("max_body", 16 << 20, 1_024..=(1 << 30));
        let max_line = self.count("max_line", 1 << 20, 256..=(64 << 20));
        let max_batch = self.count("max_batch", 10_000, 1..=100_000);
        let log = self.value(
            "log",
            "info",
            "a level (off, error, warn, info, debug, trace) or a filter such as info,tinistreamer::feed=debug",
            log_filter,
        );
        Some(Settings {
            api_keys: api_keys?,
            secret_keys: secret_keys?,
            store: store?,
            server_address: server_address?,
            ttl: ttl?,
            client_timeout: client_timeout?,
            redis_pool: redis_pool?,
            max_clients: max_clients?,
            allowed_origins: allowed_origins.map(|origins| (!origins.is_empty()).then_some(origins))?,
            address: address?,
            port: port?,
            delivery: delivery?,
            max_events: max_events?,
            key_prefix: key_prefix?,
            heartbeat: heartbeat?,
            redis_timeout: redis_timeout?,
            store_patience: store_patience?,
            shutdown_grace: shutdown_grace?,
            max_body: max_body?,
            max_line: max_line?,
            max_batch: max_batch?,
            log: log?,
        })
    }

    fn report_unknown_names(&mut self) {
        for name in self.environment.keys() {
            if !NAMES.contains(&name.to_ascii_lowercase().as_str()) || name.chars().any(|c| c.is_ascii_lowercase()) {
                let lower = name.to_ascii_lowercase();
                let nearest = NAMES.iter().min_by_key(|known| strsim::damerau_levenshtein(known, &lower)).copied().unwrap_or_default();
                let line = format!("{ENV_PREFIX}{name} is not a setting; did you mean {}?", variable(nearest));
                self.problems.push(Problem(line));
            }
        }
    }

    /// What is set, as text, and where.
    fn raw(&self, name: &str) -> Option<(String, String)> {
        if let Some(text) = self.environment.get(&name.to_ascii_uppercase()).filter(|text| !text.is_empty()) {
            return Some((text.trim().to_owned(), "the environment".to_owned()));
        }
        let value = self.figment.find_value(name).ok()?;
        let place =
            self.figment.find_metadata(name).and_then(|data| data.source.as_ref()).map_or("the defaults".to_owned(), ToString::to_string);
        Some((as_text(&value)?, place))
    }

    fn value<T>(&mut self, name: &str, default: &str, may_hold: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (text, place) = self.raw(name).unwrap_or_else(|| (default.to_owned(), "the defaults".to_owned()));
        let value = parse(&text);
        if value.is_none() {
            // A URL that does not parse may still hold a password.
            let shown = if name == "redis_url" { "a value".to_owned() } else { format!("{text:?}") };
            let line = format!("{} holds {shown} ({place}), but takes {may_hold}; the default is {default}", variable(name));
            self.problems.push(Problem(line));
        }
        value
    }

    fn required<T>(&mut self, name: &str, takes: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let line = match self.raw(name) {
            None => format!("{} is not set; it takes {takes} (`tinistreamer keygen` makes one)", variable(name)),
            Some((text, place)) => match parse(&text) {
                Some(value) => return Some(value),
                None => format!("{} holds a value ({place}, {} characters) that is not {takes}", variable(name), text.chars().count()),
            },
        };
        self.problems.push(Problem(line));
        None
    }

    fn count<T: FromStr + PartialOrd + fmt::Display + Copy>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> Option<T> {
        let may_hold = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(name, &default.to_string(), &may_hold, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    fn seconds(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> Option<Duration> {
        let may_hold = format!("a whole number of seconds from {} to {}", range.start(), range.end());
        let seconds = self.value(name, &default.to_string(), &may_hold, |text| text.parse().ok().filter(|number| range.contains(number)));
        seconds.map(Duration::from_secs)
    }
}

/// The environment variable of a setting.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.to_ascii_uppercase())
}

/// A value of `Rocket.toml` as the text that the environment would hold.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_u128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        Value::Array(_, items) => items.iter().map(as_text).collect::<Option<Vec<_>>>().map(|items| items.join(",")),
        _ => None,
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    items.collect::<Option<Vec<T>>>().filter(|items| !items.is_empty())
}

fn api_keys(text: &str) -> Option<Vec<Secret<String>>> {
    all(list(text).map(|key| (key.len() >= 8 && key.bytes().all(|b| b.is_ascii_graphic())).then(|| Secret(key.to_owned()))))
}

fn secret_keys(text: &str) -> Option<Vec<Secret<[u8; 32]>>> {
    all(list(text).map(|key| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(key, &mut bytes).ok().map(|()| Secret(bytes))
    }))
}

fn store_url(text: &str) -> Option<StoreUrl> {
    if text == "memory:" {
        return Some(StoreUrl::Memory);
    }
    let known = ["redis://", "rediss://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
    // Whether the rest can be used is the Redis client's to say; it does so without connecting.
    (known && deadpool_redis::redis::IntoConnectionInfo::into_connection_info(text).is_ok())
        .then(|| StoreUrl::Redis(Secret(text.to_owned())))
}

fn web_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let plain = !rest.is_empty() && !rest.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b));
    plain.then(|| text.trim_end_matches('/').to_owned())
}

/// The origins; an empty list stands for all.
fn origins(text: &str) -> Option<Vec<String>> {
    if text == "all" || text == "*" {
        return Some(Vec::new());
    }
    let origin = |text: &str| web_url(text).filter(|url| url.split("://").nth(1).is_some_and(|host| !host.contains('/')));
    all(list(text).map(|text| origin(text).map(|origin| origin.to_ascii_lowercase())))
}

fn key_prefix(text: &str) -> Option<String> {
    // Braces would be read as a Cluster hash tag, and move all keys of all streams to one slot.
    let fits = (1..=64).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '{' || c == '}');
    fits.then(|| text.to_owned())
}

fn log_filter(text: &str) -> Option<String> {
    let level = ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    (level || text.contains('=') && text.parse::<tracing_subscriber::EnvFilter>().is_ok()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: [(&str, &str); 2] =
        [("STREAMER_API_KEY", "0123456789"), ("STREAMER_SECRET_KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")];

    fn load(more: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let pairs = GOOD.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        // A later pair wins, as when a test overrides a good value.
        let environment: BTreeMap<_, _> = pairs.collect();
        Settings::load(&Figment::new(), environment).map_err(|problems| problems.into_iter().map(|problem| problem.0).collect())
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.store, StoreUrl::Redis(Secret::new("redis://localhost:6379".into())));
        assert_eq!(settings.server_address, "http://localhost:8000");
        assert_eq!((settings.ttl.as_secs(), settings.client_timeout.as_secs(), settings.heartbeat.as_secs()), (600, 300, 10));
        assert_eq!((settings.redis_pool, settings.max_clients, settings.max_events), (4, 20, 500));
        assert_eq!((settings.address.to_string().as_str(), settings.port), ("127.0.0.1", 8000));
        assert_eq!((settings.delivery, settings.key_prefix.as_str()), (Delivery::Exclusive, "tinistreamer:"));
        assert_eq!(settings.allowed_origins, None);
    }

    #[test]
    fn every_problem_is_told_at_once_each_in_one_line_that_names_the_setting() {
        let problems = load(&[("STREAMER_TTL", "ten"), ("STREAMER_PORT", "70000"), ("STREAMER_TLL", "5"), ("STREAMER_DELIVERY", "pigeon")])
            .unwrap_err();
        assert_eq!(problems.len(), 4);
        assert!(problems.iter().all(|line| !line.contains('\n')));
        for (setting, holds) in [("STREAMER_TTL ", "ten"), ("STREAMER_PORT ", "70000"), ("STREAMER_DELIVERY ", "pigeon")] {
            assert!(problems.iter().any(|line| line.starts_with(setting) && line.contains(holds) && line.contains("takes")), "{setting}");
        }
        assert!(problems.iter().any(|line| line == "STREAMER_TLL is not a setting; did you mean STREAMER_TTL?"));
    }

    #[test]
    fn a_missing_required_setting_is_named() {
        let problems = Settings::load(&Figment::new(), []).unwrap_err();
        let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(text[0].starts_with("STREAMER_API_KEY is not set") && text[1].starts_with("STREAMER_SECRET_KEY is not set"), "{text:?}");
    }

    #[test]
    fn no_secret_is_shown_in_a_problem_or_in_debug() {
        let problems =
            load(&[("STREAMER_SECRET_KEY", "cafebabe"), ("STREAMER_API_KEY", "hush"), ("STREAMER_REDIS_URL", "http://user:hunter2@host")]);
        let told = problems.unwrap_err().join("\n");
        assert!(!told.contains("cafebabe") && !told.contains("hush") && !told.contains("hunter2"), "{told}");
        let shown = format!("{:?}", load(&[("STREAMER_REDIS_URL", "redis://user:hunter2@host:1")]).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("0123456789") && !shown.contains("000102"), "{shown}");
    }

    #[test]
    fn secrets_are_text_even_when_they_look_like_numbers_and_can_be_rotated() {
        let settings = load(&[("STREAMER_API_KEY", "0123456789, second-key")]).unwrap();
        let keys: Vec<_> = settings.api_keys.iter().map(|key| key.reveal().as_str()).collect();
        assert_eq!(keys, ["0123456789", "second-key"]);
    }

    #[test]
    fn a_file_may_hold_numbers_or_text_and_the_environment_wins() {
        let figment = Figment::new().join(("ttl", 60)).join(("max_events", "7")).join(("allowed_origins", ["http://a", "http://b"]));
        let environment = GOOD.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::load(&figment, environment.clone()).unwrap();
        assert_eq!((settings.ttl.as_secs(), settings.max_events), (60, 7));
        assert_eq!(settings.allowed_origins.unwrap(), ["http://a", "http://b"]);
        let with_env = environment.into_iter().chain([("STREAMER_TTL".to_owned(), "61".to_owned())]);
        assert_eq!(Settings::load(&figment, with_env).unwrap().ttl.as_secs(), 61);
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
