//! Parsers: each makes a setting's value of its text, or returns none.

use std::path::PathBuf;

use rocket::http::Header;

use super::values::{Delivery, LogFormat, MetricsAt, Secret, Sentinels, StoreUrl};

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    items
        .collect::<Option<Vec<T>>>()
        .filter(|items| !items.is_empty())
}

/// API keys: long enough that nobody guesses them, and valid in a header.
pub(super) fn api_keys(text: &str) -> Option<Vec<Secret<String>>> {
    all(list(text).map(|key| {
        (key.len() >= 8 && key.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| Secret::new(key.to_owned()))
    }))
}

/// AES-256 keys in hex.
pub(super) fn secret_keys(text: &str) -> Option<Vec<Secret<[u8; 32]>>> {
    all(list(text).map(|key| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(key, &mut bytes)
            .ok()
            .map(|()| Secret::new(bytes))
    }))
}

/// Where streams live.
pub(super) fn store_url(text: &str) -> Option<StoreUrl> {
    if text == "memory:" {
        return Some(StoreUrl::Memory);
    }
    for (scheme, node_scheme) in [
        ("redis-cluster://", "redis://"),
        ("rediss-cluster://", "rediss://"),
    ] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return cluster_nodes(node_scheme, rest)
                .map(|nodes| StoreUrl::Cluster(Secret::new(nodes)));
        }
    }
    for (scheme, node_scheme) in [
        ("redis-sentinel://", "redis://"),
        ("rediss-sentinel://", "rediss://"),
    ] {
        if let Some(rest) = text.strip_prefix(scheme) {
            return sentinels(node_scheme, rest)
                .map(|sentinels| StoreUrl::Sentinels(Secret::new(sentinels)));
        }
    }
    let known = ["redis://", "rediss://", "unix://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    (known && is_usable(text)).then(|| StoreUrl::Redis(Secret::new(text.to_owned())))
}

/// `user:password@host:port,host:port`: the credentials are for all nodes.
fn cluster_nodes(scheme: &str, rest: &str) -> Option<Vec<String>> {
    let (credentials, hosts) = rest.rsplit_once('@').map_or(("", rest), |(before, hosts)| {
        (&rest[..=before.len()], hosts)
    });
    let nodes = list(hosts).map(|host| format!("{scheme}{credentials}{host}"));
    all(nodes.map(|url| is_usable(&url).then_some(url)))
}

/// `user:password@host:port,host:port/service/database?sentinel=user:password`: the first
/// credentials and the database are those of the servers, the last ones those of the Sentinels.
fn sentinels(scheme: &str, rest: &str) -> Option<Sentinels> {
    let (rest, of_sentinels) = match rest.split_once("?sentinel=") {
        Some((rest, credentials)) => (rest, format!("{credentials}@")),
        None => (rest, String::new()),
    };
    let (rest, of_servers) = rest
        .rsplit_once('@')
        .map_or((rest, String::new()), |(credentials, rest)| {
            (rest, format!("{credentials}@"))
        });
    let (hosts, path) = rest.split_once('/')?;
    let (service, database) = path.split_once('/').unwrap_or((path, "0"));
    let nodes = all(list(hosts)
        .map(|host| Some(format!("{scheme}{of_sentinels}{host}")).filter(|url| is_usable(url))))?;
    let server = format!("{scheme}{of_servers}sentinel.invalid/{database}");
    let named = !service.is_empty() && !service.contains(['?', '#']);
    (named && is_usable(&server)).then(|| Sentinels {
        nodes,
        service: service.to_owned(),
        server,
    })
}

/// Whether the Redis client accepts the URL. This does not connect.
fn is_usable(url: &str) -> bool {
    deadpool_redis::redis::IntoConnectionInfo::into_connection_info(url).is_ok()
}

/// A public URL, without the slash at its end.
pub(super) fn web_url(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))?;
    let plain = !rest.is_empty()
        && !rest.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b));
    plain.then(|| text.trim_end_matches('/').to_owned())
}

/// The origins; none inside stands for all.
#[expect(clippy::option_option, reason = "`all` is valid text of no value")]
pub(super) fn origins(text: &str) -> Option<Option<Vec<String>>> {
    if text == "all" || text == "*" {
        return Some(None);
    }
    let origin = |text: &str| {
        web_url(text).filter(|url| {
            url.split("://")
                .nth(1)
                .is_some_and(|host| !host.contains('/'))
        })
    };
    all(list(text).map(|text| origin(text).map(|origin| origin.to_ascii_lowercase()))).map(Some)
}

/// The name of a header; none inside stands for `off`.
#[expect(clippy::option_option, reason = "`off` is valid text of no value")]
pub(super) fn header_name(text: &str) -> Option<Option<String>> {
    match text {
        "off" | "false" => Some(None),
        name => Header::is_valid_name(name).then(|| Some(name.to_owned())),
    }
}

/// The file of a script; none inside stands for `off`.
#[expect(clippy::option_option, reason = "`off` is valid text of no value")]
#[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
pub(super) fn script_file(text: &str) -> Option<Option<PathBuf>> {
    match text {
        "off" | "false" => Some(None),
        path => Some(Some(PathBuf::from(path))),
    }
}

/// A prefix of Redis keys.
pub(super) fn key_prefix(text: &str) -> Option<String> {
    // Redis Cluster takes text in braces for a hash tag: all keys of all streams would be in one
    // slot.
    let fits = (1..=64).contains(&text.len())
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '{' || c == '}');
    fits.then(|| text.to_owned())
}

/// Where the broker serves metrics.
pub(super) fn metrics_at(text: &str) -> Option<MetricsAt> {
    match text {
        "on" => Some(MetricsAt::Broker),
        "off" => Some(MetricsAt::Nowhere),
        address => address.parse().ok().map(MetricsAt::Address),
    }
}

/// A log level, or a filter by module: [`Targets`](tracing_subscriber::filter::Targets).
pub(super) fn log_filter(text: &str) -> Option<String> {
    let level = ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    (level || text.contains('=') && text.parse::<tracing_subscriber::filter::Targets>().is_ok())
        .then(|| text.to_owned())
}

/// A switch. TOML and YAML write booleans as `true` and `false`.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

/// The format of the log's lines.
pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// How live events reach subscribers.
pub(super) fn delivery(text: &str) -> Option<Delivery> {
    [Delivery::Exclusive, Delivery::Shared]
        .into_iter()
        .find(|delivery| delivery.as_str() == text)
}
