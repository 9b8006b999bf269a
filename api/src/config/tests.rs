//! Loading settings, as an operator sees it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rocket::figment::Figment;

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
fn the_url_of_sentinels_names_them_and_their_service() {
    let found = |url| match load(&[("STREAMER_REDIS_URL", url)]).map(|settings| settings.store) {
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
fn every_problem_is_reported_at_once_each_in_one_line_that_names_the_setting() {
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
    let lines = problems.unwrap_err().join("\n");
    assert!(
        !lines.contains("cafebabe") && !lines.contains("hush") && !lines.contains("hunter2"),
        "{lines}"
    );
    let shown = format!(
        "{:?}",
        load(&[("STREAMER_REDIS_URL", "redis://user:hunter2@host:1")]).unwrap()
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("0123456789") && !shown.contains("000102"),
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
    fn a_number_is_accepted_only_in_its_range(number in any::<u64>()) {
        let loaded = load(&[("STREAMER_TTL", &number.to_string())]);
        prop_assert_eq!(loaded.is_ok(), TTL_SECONDS.contains(&number));
    }

    #[test]
    fn no_text_in_any_setting_makes_loading_panic(text in ".*", which in 0..NAMES.len()) {
        let _ = load(&[(&variable(NAMES[which]), &text)]);
    }
}
