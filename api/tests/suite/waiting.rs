//! Subscribers wait for streams that do not exist yet.

use futures::future::join_all;
use serde_json::json;

use crate::common::{
    Broker, Kind, broker,
    follower::{Follower, Heard, Told, Transport, encoded, stored, token},
    keys::together,
    until, within,
};

fn waiting(transport: Transport) -> &'static str {
    if transport == Transport::Poll {
        "&wait=true&wait=20"
    } else {
        "&wait=true"
    }
}

async fn what_was_waited_for_comes_whole_from_its_first_event(broker: Broker) {
    let [there, later, last] = together(broker.kind, ["p:there", "p:later", "p:last"]);
    broker.create(&there).await;
    // A bound token would refuse one stream more than the limit on awaited streams.
    let by_prefix = token(&broker, json!({"prefix": "p:"})).await;
    let by_list = token(&broker, json!({"keys": [there, later, last], "wait": true})).await;
    let follow = |transport, keys: Vec<&String>, token| {
        Follower::new(&broker, transport, keys, token).with(waiting(transport))
    };
    let mut followers: Vec<Follower> = Transport::ALL
        .into_iter()
        .flat_map(|transport| {
            [
                follow(transport, vec![&later], &by_list),
                follow(transport, vec![&later, &there, &last], &by_prefix),
            ]
        })
        .collect();
    let rests = join_all(followers.iter_mut().map(Follower::rest));
    let write = async {
        until("all wait", || async { broker.slots_in_use().await == 8 }).await;
        for key in [&later, &last] {
            broker.create(key).await;
            broker.add_numbered(key, 0, 3).await;
        }
        broker.add_numbered(&there, 0, 3).await;
        for key in [&there, &later, &last] {
            broker.end(key).await;
        }
    };
    let (all, ()) = tokio::join!(rests, write);
    for (follower, told) in followers.iter().zip(all) {
        for key in &follower.keys {
            let of_key: Vec<Told> = told
                .iter()
                .filter(|told| told.key == *key)
                .cloned()
                .collect();
            assert_eq!(
                of_key,
                stored(&broker, key).await,
                "{:?}",
                follower.transport
            );
        }
    }
}

async fn what_is_not_waited_for_is_not_found(broker: Broker) {
    let [there, absent] = together(broker.kind, ["p:there", "p:absent"]);
    broker.create(&there).await;
    let prefix = token(&broker, json!({"prefix": "p:"})).await;
    broker.create_with(json!({"key": absent, "ttl": 1})).await;
    let bound = token(&broker, json!({"keys": [absent, there], "ttl": 60})).await;
    let url = format!("/api/stream/info?key={}", encoded(&absent));
    until("it expires", || async { broker.get(&url).await.0 == 404 }).await;
    let not_found = (404, "stream-not-found".to_owned());
    for transport in Transport::ALL {
        for keys in [vec![&absent], vec![&there, &absent]] {
            let follower =
                |token, more: &str| Follower::new(&broker, transport, &keys, token).with(more);
            assert_eq!(
                follower(&prefix, "").refused().await,
                not_found,
                "{transport:?}"
            );
            assert_eq!(
                follower(&prefix, "&wait=false&from=now").refused().await,
                not_found,
                "{transport:?}"
            );
            assert_eq!(
                follower(&bound, waiting(transport)).refused().await,
                not_found,
                "{transport:?}: whatever comes is another"
            );
        }
    }
}

/// A cursor may record that the subscriber has nothing of a stream. The broker must not take that
/// for a deleted stream.
async fn who_was_cut_off_while_it_waited_waits_on(broker: Broker) {
    let [there, later] = together(broker.kind, ["p:there", "p:later"]);
    broker.create(&there).await;
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let mut followers: Vec<Follower> = Transport::ALL
        .into_iter()
        .map(|transport| {
            Follower::new(&broker, transport, [&there, &later], &token)
                .with(format!("{}&from=now", waiting(transport)))
        })
        .collect();
    for follower in &mut followers {
        if follower.transport != Transport::Poll {
            assert_eq!(follower.told().await.event, None, "where it is");
        }
    }
    until("they wait", || async { broker.slots_in_use().await == 3 }).await;
    for round in 0..2 {
        let polls = tokio::join!(followers[3].told(), async {
            until("it waits", || async { broker.slots_in_use().await > 0 }).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            broker.add_numbered(&there, round, 1).await
        });
        assert!(polls.0.is("n"), "{polls:?}");
        for follower in &mut followers[..3] {
            let told = follower.told().await;
            assert!(told.is("n"), "{:?}: {told:?}", follower.transport);
            follower.cut();
        }
    }
    // A program may construct such a cursor, too.
    let own = format!("{}:,{}:", encoded(&there), encoded(&later));
    followers.extend(Transport::ALL.map(|transport| {
        Follower::new(&broker, transport, [&there, &later], &token)
            .with(waiting(transport))
            .after(&own)
    }));
    let rests = join_all(followers.iter_mut().map(Follower::rest));
    let write = async {
        until("they wait again", || async {
            broker.slots_in_use().await >= 8
        })
        .await;
        broker.create(&later).await;
        broker.end(&later).await;
        broker.end(&there).await;
    };
    let (all, ()) = tokio::join!(rests, write);
    let wanted = stored(&broker, &later).await;
    for (follower, told) in followers.iter().zip(all) {
        let of_later: Vec<Told> = told.into_iter().filter(|told| told.key == later).collect();
        assert_eq!(
            of_later, wanted,
            "{:?} from {:?}",
            follower.transport, follower.more
        );
    }
}

/// This holds with one key too, and before anything was sent. Otherwise `from=now` would begin
/// behind events that were written in the meantime.
async fn who_waits_for_one_stream_from_now_on_is_told_where_it_is(broker: Broker) {
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let path = format!(
        "{}/api/client/sse?key=p%3A1&wait=true&from=now&token={token}",
        broker.url
    );
    let mut response = reqwest::get(&path).await.unwrap();
    assert_eq!(
        within(response.chunk()).await.unwrap().unwrap(),
        "retry: 1000\nid: p%3A1:\n\n"
    );
    drop(response);
    broker.create("p:1").await;
    broker.end("p:1").await;
    let rest = reqwest::Client::new()
        .get(&path)
        .header("Last-Event-ID", "p%3A1:")
        .send()
        .await
        .unwrap();
    let text = within(rest.text()).await.unwrap();
    assert!(
        text.contains("event: start\n") && text.contains("event: end\n"),
        "{text}"
    );
}

on_every_store!(
    who_waits_for_one_stream_from_now_on_is_told_where_it_is,
    what_was_waited_for_comes_whole_from_its_first_event,
    what_is_not_waited_for_is_not_found,
    who_was_cut_off_while_it_waited_waits_on,
);

async fn who_waits_in_vain_is_let_go_after_the_client_timeout(kind: Kind) {
    let broker = broker(kind).set("CLIENT_TIMEOUT", 1).start().await;
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let wait = async |transport| {
        let mut follower =
            Follower::new(&broker, transport, ["p:1", "p:2"], &token).with(waiting(transport));
        (follower.next().await, transport)
    };
    for (heard, transport) in join_all(Transport::ALL.map(wait)).await {
        let code = (transport == Transport::Ws).then_some(1001);
        assert_eq!(heard, Heard::Cut(code), "{transport:?}");
    }
    until("their slots are free", || async {
        broker.slots_in_use().await == 0
    })
    .await;
}

#[tokio::test]
async fn who_waits_in_vain_is_let_go_after_the_client_timeout_in_memory() {
    who_waits_in_vain_is_let_go_after_the_client_timeout(Kind::Memory).await;
}

#[tokio::test]
async fn who_waits_in_vain_is_let_go_after_the_client_timeout_in_exclusive() {
    who_waits_in_vain_is_let_go_after_the_client_timeout(Kind::Exclusive).await;
}
