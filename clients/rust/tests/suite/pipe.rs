//! Sources that a writer writes as events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt, future::join, stream};
use serde_json::json;
use tinistreamer_client::{Error, Writer};

use crate::common::{Broker, within};

/// Sets its flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A source that yields these items, and then never ends. The flag says whether it was dropped.
fn endless(items: &[&'static str]) -> (impl Stream<Item = &'static str> + use<>, Arc<AtomicBool>) {
    let is_dropped = Arc::new(AtomicBool::new(false));
    let guard = Dropped(Arc::clone(&is_dropped));
    let items = stream::iter(items.to_vec()).chain(stream::pending());
    let source = items.map(move |item| {
        let _ = &guard;
        item
    });
    (source, is_dropped)
}

fn writer(broker: &Broker, key: &str) -> Writer {
    broker.client().publish(key).start().unwrap()
}

#[tokio::test]
async fn each_item_of_a_source_is_an_event() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = writer(&broker, "k");
    let source = stream::iter([json!("a"), json!(7), json!({"b": 1})]);
    writer.pipe_from(source, "token").await.unwrap();
    writer.write("usage", 3).await.unwrap();
    within(writer.finish()).await.unwrap();
    let data: Vec<_> = broker
        .stored("k")
        .await
        .into_iter()
        .map(|it| it.1)
        .collect();
    assert_eq!(data, ["", "a", "7", "{\"b\":1}", "3", ""]);
}

#[tokio::test]
async fn a_stop_drops_the_source() {
    let broker = Broker::start().await;
    for write_after_stop in [false, true] {
        let key = write_after_stop.to_string();
        broker.create(&key).await;
        let publish = broker.client().publish(&key);
        let publish = publish.write_after_stop(write_after_stop);
        // Without a lease: the pipe hears the stop by itself.
        let mut writer = publish.lease(Duration::ZERO).start().unwrap();
        let (source, is_dropped) = endless(&["a", "b"]);
        let client = broker.client();
        let stop = async {
            broker_has(&broker, &key, 3).await;
            client.send_signal(&key, "stop").await.unwrap();
        };
        let (piped, ()) = within(join(Box::pin(writer.pipe_from(source, "token")), stop)).await;
        let error = piped.unwrap_err();
        assert!(matches!(&error, Error::Stopped { by: Some(by), .. } if by == "api-key"));
        assert!(is_dropped.load(Ordering::Relaxed));
        // A source that comes after the stop is not read.
        let (source, is_dropped) = endless(&["c"]);
        let error = within(writer.pipe_from(source, "token")).await.unwrap_err();
        assert_eq!(error.code(), "stopped");
        assert!(is_dropped.load(Ordering::Relaxed));
        drop(writer);
        broker.until_status(&key, "cancelled").await;
        assert_eq!(broker.stored(&key).await.len(), 4);
    }
}

async fn broker_has(broker: &Broker, key: &str, events: usize) {
    crate::common::until(|| async { broker.stored(key).await.len() == events }).await;
}

#[tokio::test]
async fn a_writer_that_fails_drops_the_source() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = writer(&broker, "k");
    writer.write("token", "a").await.unwrap();
    within(writer.flush()).await.unwrap();
    broker.client().end_stream("k").await.unwrap();
    let (source, is_dropped) = endless(&["b"]);
    let error = within(writer.pipe_from(source, "token")).await.unwrap_err();
    assert_eq!(error.code(), "no-active-stream");
    assert!(is_dropped.load(Ordering::Relaxed));
}

#[tokio::test]
async fn an_error_of_the_source_ends_the_pipe() {
    #[derive(Debug)]
    enum ModelError {
        Model,
        Client,
    }
    impl From<Error> for ModelError {
        fn from(_: Error) -> Self {
            Self::Client
        }
    }
    let broker = Broker::start().await;
    broker.create("k").await;
    let running = broker.client().publish("k").run(async |writer| {
        let source = stream::iter([Ok("a"), Err(ModelError::Model), Ok("b")]);
        writer.try_pipe_from(source, "token").await
    });
    assert!(matches!(within(running).await, Err(ModelError::Model)));
    let stored = broker.stored("k").await;
    let names: Vec<_> = stored.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["start", "token", "fail"]);

    broker.create("invalid").await;
    let mut writer = writer(&broker, "invalid");
    let source = stream::iter([Ok::<_, ModelError>("a")]);
    let piped = writer.try_pipe_from(source, "end").await;
    assert!(matches!(piped, Err(ModelError::Client)));
}
