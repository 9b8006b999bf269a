//! Subscribers wait for streams that do not exist yet.

use futures::future::join_all;
use serde_json::json;

use crate::common::{
    Broker, Kind, broker, http_client,
    keys::together,
    subscriber::{Outcome, Subscriber, Transport, Update, encoded, stored, token},
    until, within,
};

fn waiting(transport: Transport) -> &'static str {
    if transport == Transport::Poll {
        "&wait=true&wait=20"
    } else {
        "&wait=true"
    }
}

async fn an_awaited_stream_arrives_whole_from_its_first_event(broker: Broker) {
    let [there, later, last] = together(broker.kind, ["p:there", "p:later", "p:last"]);
    broker.create(&there).await;
    // A bound token would refuse one stream more than the limit on awaited streams.
    let by_prefix = token(&broker, json!({"prefix": "p:"})).await;
    let by_list = token(&broker, json!({"keys": [there, later, last], "wait": true})).await;
    let follow = |transport, keys: Vec<&String>, token| {
        Subscriber::new(&broker, transport, keys, token).with(waiting(transport))
    };
    let mut subscribers: Vec<Subscriber> = Transport::ALL
        .into_iter()
        .flat_map(|transport| {
            [
                follow(transport, vec![&later], &by_list),
                follow(transport, vec![&later, &there, &last], &by_prefix),
            ]
        })
        .collect();
    let rests = join_all(subscribers.iter_mut().map(Subscriber::rest));
    let write = async {
        until("all wait", || async { broker.permits_in_use().await == 8 }).await;
        for key in [&later, &last] {
            broker.create(key).await;
            broker.add_events(key, 0, 3).await;
        }
        broker.add_events(&there, 0, 3).await;
        for key in [&there, &later, &last] {
            broker.end(key).await;
        }
    };
    let (all, ()) = tokio::join!(rests, write);
    for (subscriber, updates) in subscribers.iter().zip(all) {
        for key in &subscriber.keys {
            let of_key: Vec<Update> = updates
                .iter()
                .filter(|update| update.key == *key)
                .cloned()
                .collect();
            assert_eq!(
                of_key,
                stored(&broker, key).await,
                "{:?}",
                subscriber.transport
            );
        }
    }
}

async fn a_missing_stream_is_not_found_without_a_wait(broker: Broker) {
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
            let subscriber =
                |token, more: &str| Subscriber::new(&broker, transport, &keys, token).with(more);
            assert_eq!(
                subscriber(&prefix, "").refused().await,
                not_found,
                "{transport:?}"
            );
            assert_eq!(
                subscriber(&prefix, "&wait=false&from=now").refused().await,
                not_found,
                "{transport:?}"
            );
            assert_eq!(
                subscriber(&bound, waiting(transport)).refused().await,
                not_found,
                "{transport:?}: a later stream is another one"
            );
        }
    }
}

/// A cursor may record that the subscriber has nothing of a stream. The broker must not take that
/// for a deleted stream.
async fn a_subscriber_that_was_cut_off_while_it_waited_waits_again(broker: Broker) {
    let [there, later] = together(broker.kind, ["p:there", "p:later"]);
    broker.create(&there).await;
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let mut subscribers: Vec<Subscriber> = Transport::ALL
        .into_iter()
        .map(|transport| {
            Subscriber::new(&broker, transport, [&there, &later], &token)
                .with(format!("{}&from=now", waiting(transport)))
        })
        .collect();
    for subscriber in &mut subscribers {
        if subscriber.transport != Transport::Poll {
            assert_eq!(subscriber.update().await.event, None, "its position");
        }
    }
    until("they wait", || async { broker.permits_in_use().await == 3 }).await;
    for round in 0..2 {
        let polls = tokio::join!(subscribers[3].update(), async {
            until("it waits", || async { broker.permits_in_use().await > 0 }).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            broker.add_events(&there, round, 1).await
        });
        assert!(polls.0.is("n"), "{polls:?}");
        for subscriber in &mut subscribers[..3] {
            let update = subscriber.update().await;
            assert!(update.is("n"), "{:?}: {update:?}", subscriber.transport);
            subscriber.cut();
        }
    }
    // A session that was cut counts until the broker notices it.
    until("the sessions that were cut are gone", || async {
        broker.permits_in_use().await == 0
    })
    .await;
    // A program may construct such a cursor, too.
    let own = format!("{}:,{}:", encoded(&there), encoded(&later));
    subscribers.extend(Transport::ALL.map(|transport| {
        Subscriber::new(&broker, transport, [&there, &later], &token)
            .with(waiting(transport))
            .after(&own)
    }));
    let rests = join_all(subscribers.iter_mut().map(Subscriber::rest));
    let write = async {
        until("they wait again", || async {
            broker.permits_in_use().await >= 8
        })
        .await;
        broker.create(&later).await;
        broker.end(&later).await;
        broker.end(&there).await;
    };
    let (all, ()) = tokio::join!(rests, write);
    let wanted = stored(&broker, &later).await;
    for (subscriber, updates) in subscribers.iter().zip(all) {
        let of_later: Vec<Update> = updates
            .into_iter()
            .filter(|update| update.key == later)
            .collect();
        assert_eq!(
            of_later, wanted,
            "{:?} from {:?}",
            subscriber.transport, subscriber.more
        );
    }
}

/// This holds with one key too, and before anything was sent. Otherwise `from=now` would begin
/// behind events that were written in the meantime.
async fn a_subscriber_that_waits_from_now_on_receives_its_position(broker: Broker) {
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let path = format!(
        "{}/api/client/sse?key=p%3A1&wait=true&from=now&token={token}",
        broker.url
    );
    let mut response = http_client().get(&path).send().await.unwrap();
    assert_eq!(
        within(response.chunk()).await.unwrap().unwrap(),
        "retry: 1000\nid: p%3A1:\n\n"
    );
    drop(response);
    broker.create("p:1").await;
    broker.end("p:1").await;
    let rest = http_client()
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
    a_subscriber_that_waits_from_now_on_receives_its_position,
    an_awaited_stream_arrives_whole_from_its_first_event,
    a_missing_stream_is_not_found_without_a_wait,
    a_subscriber_that_was_cut_off_while_it_waited_waits_again,
);

async fn a_subscriber_that_waits_in_vain_is_disconnected_after_the_client_timeout(kind: Kind) {
    let broker = broker(kind).set("CLIENT_TIMEOUT", 1).start().await;
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let wait = async |transport| {
        let mut subscriber =
            Subscriber::new(&broker, transport, ["p:1", "p:2"], &token).with(waiting(transport));
        (subscriber.next().await, transport)
    };
    for (outcome, transport) in join_all(Transport::ALL.map(wait)).await {
        let code = (transport == Transport::Ws).then_some(1001);
        assert_eq!(outcome, Outcome::Disconnected(code), "{transport:?}");
    }
    until("their permits are free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_that_waits_in_vain_is_disconnected_after_the_client_timeout_in_memory() {
    a_subscriber_that_waits_in_vain_is_disconnected_after_the_client_timeout(Kind::Memory).await;
}

#[tokio::test]
async fn a_subscriber_that_waits_in_vain_is_disconnected_after_the_client_timeout_in_exclusive() {
    a_subscriber_that_waits_in_vain_is_disconnected_after_the_client_timeout(Kind::Exclusive).await;
}
