//! Where settings come from: each is looked for in the environment, then in Rocket's configuration,
//! then has its default; what can't be used becomes a [`Problem`].

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use rocket::{
    Config,
    figment::{Figment, value::Value},
};

use super::{
    Delivery, ENV_PREFIX, MAX_BATCH, MAX_EVENTS, MAX_KEYS, NAMES, Problem, Settings, TTL_SECONDS,
    parse::{
        api_keys, header_name, key_prefix, log_filter, log_format, metrics_at, origins,
        secret_keys, store_url, switch, web_url,
    },
    variable,
};
use crate::bounded::bounded;

/// The most bytes of a name or a value that a problem shows.
const MAX_SHOWN_BYTES: usize = 256;

/// Where a value comes from, and the problems met so far.
pub(super) struct Source<'a> {
    figment: &'a Figment,
    environment: &'a BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Source<'a> {
    pub(super) fn new(figment: &'a Figment, environment: &'a BTreeMap<String, String>) -> Self {
        Self {
            figment,
            environment,
            problems: Vec::new(),
        }
    }

    /// Every setting in turn. `None` when any is unusable; the problems then say which, all of
    /// them.
    #[expect(clippy::too_many_lines, reason = "a list of all settings")]
    pub(super) fn settings(&mut self) -> Option<Settings> {
        let api_keys = self.required(
            "api_key",
            "one or more keys of at least 8 printable characters, separated by commas",
            api_keys,
        );
        let secret_keys = self.required(
            "secret_key",
            "one or more keys of 64 hex digits each, separated by commas",
            secret_keys,
        );
        let store = self.value(
            "redis_url",
            "redis://localhost:6379",
            "a redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// URL (with rediss for TLS), or memory:",
            store_url,
        );
        let ttl = self.seconds("ttl", 600, TTL_SECONDS);
        let client_timeout = self.seconds("client_timeout", 300, 1..=86_400);
        let redis_pool = self.count("redis_pool", 4, 1..=64);
        let allowed_origins = self.value(
            "allowed_origins",
            "all",
            "all, or origins such as https://app.example.com, separated by commas",
            origins,
        );
        // People who try the broker out are to see it at once; a broker in service shows no more
        // than it must.
        let console = self.value(
            "console",
            if *self.figment.profile() == Config::DEBUG_PROFILE {
                "on"
            } else {
                "off"
            },
            "on or off",
            switch,
        );
        let address = self.value(
            "address",
            "127.0.0.1",
            "an IP address to listen on",
            |text| text.parse().ok(),
        );
        let port = self.value(
            "port",
            "8000",
            "a port from 0 (any that is free) to 65535",
            |text| text.parse().ok(),
        );
        // Of a port that is not known yet there is nothing better to say than the usual one.
        let local = format!(
            "http://localhost:{}",
            port.filter(|&port| port > 0).unwrap_or(8000_u16)
        );
        let server_address = self.value(
            "server_address",
            &local,
            "an http:// or https:// URL without query",
            web_url,
        );
        let delivery = self.value("delivery", "exclusive", "exclusive or shared", |text| {
            [Delivery::Exclusive, Delivery::Shared]
                .into_iter()
                .find(|delivery| delivery.as_str() == text)
        });
        // Where each client holds a Redis connection, few are enough to begin with.
        let max_clients = self.count(
            "max_clients",
            if delivery == Some(Delivery::Shared) {
                10_000
            } else {
                20
            },
            1..=1_000_000,
        );
        let max_clients_per_stream = self.count("max_clients_per_stream", 0, 0..=1_000_000);
        let max_clients_per_address = self.count("max_clients_per_address", 0, 0..=1_000_000);
        let max_keys_per_client = self.count("max_keys_per_client", 32, 1..=MAX_KEYS);
        let max_streams_per_key = self.count("max_streams_per_key", 0, 0..=1_000_000);
        let client_ip_header = self.value(
            "client_ip_header",
            "off",
            "off, or the name of a header such as X-Real-IP",
            header_name,
        );
        let max_events = self.count("max_events", 500, MAX_EVENTS);
        let key_prefix = self.value(
            "key_prefix",
            "tinistreamer:",
            "1 to 64 characters without braces, spaces or control characters",
            key_prefix,
        );
        let heartbeat = self.seconds("heartbeat", 10, 1..=3_600);
        let redis_timeout = self.seconds("redis_timeout", 5, 1..=600);
        let store_patience = self.seconds("store_patience", 30, 0..=3_600);
        let shutdown_grace = self.seconds("shutdown_grace", 10, 1..=3_600);
        let max_body = self.count("max_body", 16 << 20, 1_024..=(1 << 30));
        let body_timeout = self.seconds("body_timeout", 30, 1..=3_600);
        let max_event = self.count("max_event", 1 << 20, 256..=(64 << 20));
        let max_line = self.count("max_line", 1 << 20, 256..=(64 << 20));
        let max_batch = self.count("max_batch", 10_000, 1..=MAX_BATCH);
        let metrics = self.value(
            "metrics",
            "on",
            "on, off, or an IP address and port such as 127.0.0.1:9464",
            metrics_at,
        );
        let log = self.value(
            "log",
            "info",
            "a level (off, error, warn, info, debug, trace) or a filter such as info,tinistreamer::session=debug",
            log_filter,
        );
        let log_format = self.value("log_format", "auto", "auto, text or json", log_format);
        Some(Settings {
            api_keys: api_keys?,
            secret_keys: secret_keys?,
            store: store?,
            server_address: server_address?,
            ttl: ttl?,
            client_timeout: client_timeout?,
            redis_pool: redis_pool?,
            max_clients: max_clients?,
            max_clients_per_stream: max_clients_per_stream?,
            max_clients_per_address: max_clients_per_address?,
            max_keys_per_client: max_keys_per_client?,
            max_streams_per_key: max_streams_per_key?,
            client_ip_header: client_ip_header.map(|name| (!name.is_empty()).then_some(name))?,
            allowed_origins: allowed_origins
                .map(|origins| (!origins.is_empty()).then_some(origins))?,
            console: console?,
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
            body_timeout: body_timeout?,
            max_event: max_event?,
            max_line: max_line?,
            max_batch: max_batch?,
            metrics: metrics?,
            log: log?,
            log_format: log_format?,
        })
    }

    pub(super) fn report_unknown_names(&mut self) {
        for name in self.environment.keys() {
            if !NAMES.contains(&name.to_ascii_lowercase().as_str())
                || name.chars().any(|c| c.is_ascii_lowercase())
            {
                let lower = name.to_ascii_lowercase();
                let nearest = NAMES
                    .iter()
                    .min_by_key(|known| strsim::damerau_levenshtein(known, &lower))
                    .copied()
                    .unwrap_or_default();
                let name = bounded(name.into(), MAX_SHOWN_BYTES);
                let line = format!(
                    "{ENV_PREFIX}{name} is not a setting; did you mean {}?",
                    variable(nearest)
                );
                self.problems.push(Problem(line));
            }
        }
    }

    /// What is set, as text, and where.
    fn raw(&self, name: &str) -> Option<(String, String)> {
        if let Some(text) = self
            .environment
            .get(&name.to_ascii_uppercase())
            .filter(|text| !text.is_empty())
        {
            return Some((text.trim().to_owned(), "the environment".to_owned()));
        }
        let value = self.figment.find_value(name).ok()?;
        let place = self
            .figment
            .find_metadata(name)
            .and_then(|data| data.source.as_ref())
            .map_or("the defaults".to_owned(), ToString::to_string);
        Some((as_text(&value)?, place))
    }

    fn value<T>(
        &mut self,
        name: &str,
        default: &str,
        may_hold: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (text, place) = self
            .raw(name)
            .unwrap_or_else(|| (default.to_owned(), "the defaults".to_owned()));
        let value = parse(&text);
        if value.is_none() {
            // A URL that does not parse may still hold a password.
            let shown = if name == "redis_url" {
                "a value".into()
            } else {
                bounded(format!("{text:?}").into(), MAX_SHOWN_BYTES)
            };
            let line = format!(
                "{} holds {shown} ({place}), but takes {may_hold}; the default is {default}",
                variable(name)
            );
            self.problems.push(Problem(line));
        }
        value
    }

    fn required<T>(
        &mut self,
        name: &str,
        takes: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let line = match self.raw(name) {
            None => format!(
                "{} is not set; it takes {takes} (`tinistreamer keygen` makes one)",
                variable(name)
            ),
            Some((text, place)) => match parse(&text) {
                Some(value) => return Some(value),
                None => format!(
                    "{} holds a value ({place}, {} characters) that is not {takes}",
                    variable(name),
                    text.chars().count()
                ),
            },
        };
        self.problems.push(Problem(line));
        None
    }

    fn count<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let may_hold = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(name, &default.to_string(), &may_hold, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    fn seconds(
        &mut self,
        name: &str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Option<Duration> {
        let may_hold = format!(
            "a whole number of seconds from {} to {}",
            range.start(),
            range.end()
        );
        let seconds = self.value(name, &default.to_string(), &may_hold, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        });
        seconds.map(Duration::from_secs)
    }
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
        Value::Array(_, items) => items
            .iter()
            .map(as_text)
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        _ => None,
    }
}
