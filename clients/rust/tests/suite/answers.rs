//! Answers whose producers run in the background.

use serde_json::{Value, json};
use tinistreamer_client::{
    Answer, Client, Error, Failure, subscribe,
    types::{CreateStream, IfTaken},
};
use tokio::sync::oneshot;

use crate::common::{API_KEY, Broker, Response, Routes, healthy, within};

async fn text(answer: &Answer) -> Result<String, Error> {
    let mut events = subscribe(&answer.sse_url, &answer.token).start()?;
    within(events.collect_all().text("token")).await
}

async fn reason(broker: &Broker, key: &str) -> Value {
    let info = broker.client().stream_info(key).await.unwrap();
    info.reason.unwrap_or_default()
}

#[tokio::test]
async fn an_answer_is_written_in_the_background_and_ends() {
    let broker = Broker::start().await;
    let client = broker.client();
    let (begin, begun) = oneshot::channel();
    let answer = client.answer("k", async |mut writer| {
        begun.await?;
        writer.write("token", "Hello").await?;
        Ok(writer.write("token", " world").await?)
    });
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.key, "k");
    // The caller has the answer before the producer has written.
    assert_eq!(broker.status("k").await, "active");
    begin.send(()).unwrap();
    assert_eq!(text(&answer).await.unwrap(), "Hello world");
    let again = within(broker.client().answer_access("k")).await.unwrap();
    assert_eq!((&again.key, &again.sse_url), (&answer.key, &answer.sse_url));
    assert_eq!(text(&again).await.unwrap(), "Hello world");
    assert!(!format!("{answer:?}").contains(&answer.token));
}

#[tokio::test]
async fn the_page_of_an_answer_stops_it() {
    let broker = Broker::start().await;
    let client = broker.client();
    let (left, has_left) = oneshot::channel::<()>();
    let answer = client.answer("k", async |mut writer| {
        let _left = left;
        writer.write("token", "a").await?;
        let endless = futures::stream::pending::<String>();
        Ok(writer.pipe_from(endless, "token").await?)
    });
    let first = within(answer).await.unwrap();
    let second = within(broker.client().answer_access("k")).await.unwrap();
    for page in [first, second] {
        let events = subscribe(page.sse_url, page.token).start().unwrap();
        within(events.producer().request_stop()).await.unwrap();
    }
    within(has_left).await.unwrap_err();
    broker.until_status("k", "cancelled").await;
    assert_eq!(reason(&broker, "k").await["reason"], "stop");
    assert_eq!(broker.stored("k").await[1].1, "a");
}

#[tokio::test]
async fn an_answer_fails_with_what_its_producer_says_and_no_secret() {
    let broker = Broker::start().await;
    let client = broker.client();
    let silent = client.answer("silent", async |mut writer| {
        writer.write("token", "a").await?;
        Err("a secret".into())
    });
    let open = client.answer("open", async |mut writer| {
        writer.set_failure(Failure::new("model-overloaded").message("Too much"));
        Err("a secret".into())
    });
    within(silent).await.unwrap();
    within(open).await.unwrap();
    broker.until_status("silent", "failed").await;
    broker.until_status("open", "failed").await;
    let expected = json!({"code": "error", "message": "The producer failed"});
    assert_eq!(reason(&broker, "silent").await, expected);
    assert_eq!(broker.stored("silent").await[1].1, "a");
    let expected = json!({"code": "model-overloaded", "message": "Too much"});
    assert_eq!(reason(&broker, "open").await, expected);
}

#[tokio::test]
async fn a_producer_that_panics_has_failed() {
    let broker = Broker::start().await;
    let client = broker.client();
    let answer = client.answer("k", async |mut writer| {
        writer.write("token", "a").await?;
        panic!("as the test has it")
    });
    within(answer).await.unwrap();
    broker.until_status("k", "failed").await;
    assert_eq!(broker.stored("k").await[1].1, "a");
}

#[tokio::test]
async fn a_task_of_the_producer_may_keep_the_writer() {
    let broker = Broker::start().await;
    let client = broker.client();
    let answer = client.answer("k", async |mut writer| {
        tokio::spawn(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            writer.write("token", "late").await
        });
        Ok(())
    });
    let answer = within(answer).await.unwrap();
    assert_eq!(text(&answer).await.unwrap(), "late");
}

#[tokio::test]
async fn an_answer_has_the_lease_of_its_stream_from_its_creation_on() {
    for (lease, created, renewed) in [(None, 30, true), (Some(60), 60, true), (Some(0), 0, false)] {
        let routes = Routes::start(|request| {
            if request.starts_with("POST /api/stream ") {
                Response::json(&json!({
                    "created": true, "expires_at": "", "generation": "7", "sse_url": "",
                    "token": "", "ws_url": "",
                }))
            } else {
                healthy(request)
            }
        })
        .await;
        let client = Client::new(&routes.url, API_KEY).unwrap();
        let stream = CreateStream {
            lease,
            ..CreateStream::from("k")
        };
        let (finish, finishes) = oneshot::channel();
        let answer = client.answer(stream, async |mut writer| {
            writer.write("token", "a").await?;
            Ok(finishes.await?)
        });
        within(answer).await.unwrap();
        if renewed {
            routes.until_requests("/api/stream/renew", 1).await;
        }
        finish.send(()).unwrap();
        routes.until_requests("/api/stream/end", 1).await;
        let [body] = &routes.bodies("/api/stream ")[..] else {
            panic!("one stream is created")
        };
        assert_eq!(body["lease"], created);
        assert_eq!(body["permissions"], json!(["read", "signal"]));
        let renewals = routes.bodies("/api/stream/renew");
        assert_eq!(renewals.iter().any(|it| it["lease"] == created), renewed);
        assert_eq!(routes.bodies("/api/stream/end")[0]["generation"], "7");
    }
}

#[tokio::test]
async fn an_answer_that_is_asked_for_twice_is_written_once() {
    let broker = Broker::start().await;
    let client = broker.client();
    let attaching = || CreateStream {
        if_exists: Some(IfTaken::Attach),
        if_finished: Some(IfTaken::Attach),
        ..CreateStream::from("k")
    };
    let answer = client.answer(attaching(), async |mut writer| {
        Ok(writer.write("token", "once").await?)
    });
    let first = within(answer).await.unwrap();
    assert_eq!(text(&first).await.unwrap(), "once");
    let (ran, has_run) = oneshot::channel();
    let again = client.answer(attaching(), async |_| {
        let _ = ran.send(());
        Ok(())
    });
    let second = within(again).await.unwrap();
    assert_eq!(text(&second).await.unwrap(), "once");
    within(has_run)
        .await
        .expect_err("the second producer was dropped");
    broker.create("taken").await;
    let taken = client.answer("taken", async |_| Ok(()));
    assert_eq!(within(taken).await.unwrap_err().code(), "existing-stream");
    let unknown = client.answer_access("unknown");
    let error = within(unknown).await.unwrap_err();
    assert_eq!(error.code(), "no-active-stream");
}
