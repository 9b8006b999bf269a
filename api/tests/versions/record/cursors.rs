//! Records cursors of every form.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    common::{
        Broker,
        subscriber::{Subscriber, Transport, encoded, with_keys},
    },
    recording::{Cursor, Token},
};

/// Records what the version sends at once to a subscriber that resumes from the cursor.
async fn answer(node: &Broker, name: &str, keys: &[&String], of: &Token, cursor: String) -> Cursor {
    let url = format!(
        "{}/api/client/poll?wait=0&token={}{}&after={}",
        node.url,
        of.text,
        with_keys(keys),
        encoded(&cursor)
    );
    let url = if cursor.is_empty() {
        url.trim_end_matches("&after=").to_owned()
    } else {
        url
    };
    let response = node.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{name}");
    let answer: Value = response.json().await.unwrap();
    let updates = answer["events"].as_array().unwrap().clone();
    let keys = keys.iter().map(|&key| key.clone()).collect();
    Cursor {
        name: name.to_owned(),
        keys,
        token: of.name.clone(),
        text: cursor,
        updates,
    }
}

/// Cursors of every form. `trimmed_id` is the id of a trimmed event.
pub(super) async fn recorded_cursors(
    node: &Broker,
    tokens: &[Token],
    ids: &BTreeMap<&str, Vec<String>>,
    keys: &[String; 12],
    trimmed_id: String,
) -> Vec<Cursor> {
    let of = |name: &str| tokens.iter().find(|token| token.name == name).unwrap();
    let [active, ended, cancelled, producers, trimmed, ..] = keys;
    let id = |key: &String, n: usize| ids[key.as_str()][n].clone();
    let at = |key: &String, n: usize| format!("{}:{}", encoded(key), id(key, n));
    let last = |key: &String| ids[key.as_str()].len() - 1;
    let all = [active, ended, cancelled, producers];
    let mut sse = Subscriber::new(node, Transport::Sse, all, &of("list").text);
    for _ in 0..9 {
        sse.update().await;
    }
    let mut poll = Subscriber::new(node, Transport::Poll, all, &of("list").text).with("&wait=0");
    poll.update().await;

    vec![
        answer(node, "id", &[active], of("active"), id(active, 2)).await,
        answer(node, "none", &[active], of("wait"), String::new()).await,
        answer(
            node,
            "none, trimmed",
            &[trimmed],
            of("trimmed"),
            String::new(),
        )
        .await,
        answer(
            node,
            "id that was trimmed",
            &[trimmed],
            of("prefix"),
            trimmed_id,
        )
        .await,
        answer(
            node,
            "id before the end",
            &[ended],
            of("ended"),
            id(ended, last(ended) - 1),
        )
        .await,
        answer(
            node,
            "id of the end",
            &[cancelled],
            of("cancelled"),
            id(cancelled, last(cancelled)),
        )
        .await,
        answer(
            node,
            "named",
            &all,
            of("list"),
            format!(
                "{},{}!,{}:,{}",
                at(active, 3),
                at(ended, last(ended)),
                encoded(cancelled),
                at(producers, 1)
            ),
        )
        .await,
        answer(
            node,
            "named in part",
            &[trimmed, active],
            of("prefix"),
            at(trimmed, 4),
        )
        .await,
        answer(
            node,
            "of server-sent events",
            &all,
            of("list"),
            sse.cursor.clone(),
        )
        .await,
        answer(node, "of a poll", &all, of("list"), poll.cursor.clone()).await,
    ]
}
