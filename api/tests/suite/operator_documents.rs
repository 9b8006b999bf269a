//! The documents for operators name every metric, and no other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{Kind, broker, redis::Redis, until};

/// All metrics of a broker. Some appear with one delivery only, and some only after their event has
/// happened.
async fn measured() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for kind in [Kind::Memory, Kind::Exclusive, Kind::Shared] {
        let redis = Redis::shared().url();
        let url = if kind == Kind::Memory {
            "memory:".to_owned()
        } else {
            redis
        };
        let broker = broker(kind).set("REDIS_URL", url).start().await;
        broker.create("chat").await;
        broker
            .post(
                "/api/event/add",
                json!({"key": "chat", "events": [{"event": "end"}]}),
            )
            .await;
        until("requests are measured", || async {
            broker
                .metrics()
                .await
                .names()
                .contains("tinistreamer_http_requests_total")
        })
        .await;
        names.extend(broker.metrics().await.names());
    }
    names
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = ["tinistreamer_", "process_"];
    let names = words.filter(|word| {
        ours.iter()
            .any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
    });
    names
        .map(|name| {
            name.strip_suffix("_bucket")
                .or(name.strip_suffix("_count"))
                .unwrap_or(name)
                .to_owned()
        })
        .collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[tokio::test]
async fn every_metric_is_documented_and_alerts_and_dashboards_use_only_these() {
    let measured = measured().await;
    let documented = named(&file("docs/reference/metrics.md"));
    assert_eq!(
        documented
            .symmetric_difference(&measured)
            .collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "documented or measured only"
    );
    for (path, least) in [
        ("deploy/prometheus/alerts.yml", 6),
        ("deploy/grafana/dashboard.json", 6),
        ("docs/operations/monitoring.md", 1),
    ] {
        let named = named(&file(path));
        assert!(named.len() >= least, "{path}");
        assert_eq!(
            named.difference(&measured).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "in {path}"
        );
    }
}

#[test]
fn every_alert_is_documented() {
    let words = |text: &str, before: &str| -> BTreeSet<String> {
        text.split(before)
            .skip(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_alphabetic).collect())
            .collect()
    };
    let alerts = words(&file("deploy/prometheus/alerts.yml"), "- alert: ");
    assert!(alerts.len() > 5);
    assert_eq!(
        alerts,
        words(&file("docs/operations/monitoring.md"), "| `Tinistreamer")
            .iter()
            .map(|name| format!("Tinistreamer{name}"))
            .collect()
    );
}

#[test]
fn the_dashboard_has_panels_that_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/dashboard.json")).unwrap();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{}",
            panel["title"]
        );
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{}", panel["title"]);
        }
    }
}
