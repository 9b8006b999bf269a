//! Publishing.

use serde_json::{Value, json};

use super::server::Server;
use crate::common::{broker::answer, sse::Sse};

#[tokio::test]
async fn a_message_arrives_with_its_fields_from_json_and_from_a_form() {
    let server = Server::start(&[]).await;
    let mut subscriber = server.subscribe().await;
    let message = json!({
        "id": "some id", "event": "custom", "data": "one\ntwo\r\nthree",
        "comment": ["first", "second\nline"], "unknown": true,
    });
    server.publish(&message).await;
    let frame = "id: some id\nevent: custom\ndata: one\ndata: two\ndata: three\n\
                 : first\n: second\n: line";
    assert_eq!(subscriber.next().await.unwrap(), frame);
    let form = "id=some+id&event=custom&data=one%0Atwo%0D%0Athree&comment=first\
                &comment=second%0Aline&unknown=1";
    let (status, body) = answer(server.form(form)).await;
    assert_eq!((status.as_u16(), &body["subscribers"]), (202, &json!(1)));
    assert_eq!(subscriber.next().await.unwrap(), frame);
    for (message, frame) in [
        (json!({"id": "1"}), "id: 1"),
        (json!({"event": "e"}), "event: e"),
        (json!({"data": ""}), "data: "),
        (json!({"data": null, "comment": ["c"]}), ": c"),
    ] {
        server.publish(&message).await;
        assert_eq!(subscriber.next().await.unwrap(), frame);
    }
}

#[tokio::test]
async fn any_text_survives() {
    let server = Server::start(&[]).await;
    let mut subscriber = Sse::new(server.get("/sse").await);
    let texts = [
        " leading",
        "tab\tand \"quotes\" \\",
        "é€😀",
        "a\n\n b\n",
        ": no comment",
    ];
    for text in texts {
        server
            .publish(&json!({"id": "7 é", "data": text, "event": "é"}))
            .await;
    }
    // An id has no line break.
    let refused = server.json(&json!({"id": "a\nb"})).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    for text in texts {
        let event = subscriber.next().await.unwrap();
        assert_eq!((&*event.data, &*event.event), (text, "é"));
        assert_eq!(event.id, "7 é");
    }
}

#[tokio::test]
async fn what_is_no_message_has_an_error_in_tinysses_form() {
    let server = Server::start(&[]).await;
    let mut subscriber = server.subscribe().await;
    let post = || server.http.post(format!("{}/sse", server.url));
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, status) in [
        (json, "{}", 400),
        (json, "", 400),
        (json, "[1]", 400),
        (json, r#"{"data": 5}"#, 400),
        (json, r#"{"comment": []}"#, 400),
        (json, r#"{"event": "a\rb"}"#, 400),
        (form, "", 400),
        (form, "other=1", 400),
        (form, "data=%ff", 400),
        (form, "id=1&id=2", 400),
        ("text/plain", "data", 415),
        ("application/xml", "data", 415),
        ("nonsense", "data", 415),
    ] {
        let request = post().header("Content-Type", content_type).body(body);
        let (found, error) = answer(request).await;
        assert_eq!(found, status, "{content_type} {body:?}: {error}");
        let members = error.as_object().unwrap();
        assert_eq!(members.len(), 1, "{error}");
        assert!(
            members["error"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
    let (status, error) = answer(post().body("data=1")).await;
    assert_eq!(status, 400, "{error}");
    for (method, path, status) in [("PUT", "/sse", 405), ("GET", "/other", 404)] {
        let url = format!("{}{path}", server.url);
        let request = server.http.request(method.parse().unwrap(), url);
        let (found, error) = answer(request).await;
        assert_eq!(found, status, "{error}");
        assert!(error["error"].is_string());
    }
    server.publish(&json!({"data": "the next"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: the next");
}

#[tokio::test]
async fn a_body_has_at_most_the_bytes_of_the_option() {
    let server = Server::start(&["--max-body-size", "1KB"]).await;
    let body = |bytes: usize| format!("data={}", "x".repeat(bytes - "data=".len()));
    assert_eq!(answer(server.form(&body(1_000))).await.0, 202);
    let (status, error) = answer(server.form(&body(1_001))).await;
    assert_eq!(status, 413);
    assert!(error["error"].as_str().unwrap().contains("1000"), "{error}");
}

#[tokio::test]
async fn the_largest_body_is_stored_however_it_is_escaped() {
    let server = Server::start(&["-m", "300KB"]).await;
    let mut subscriber = server.subscribe().await;
    // Each byte is six as JSON text, which together are more than `STREAMER_MAX_EVENT`.
    let form = format!("data={}", "\u{1}".repeat(290_000));
    assert_eq!(answer(server.form(&form)).await.0, 202);
    let data = subscriber.next().await.unwrap();
    assert_eq!(data.len(), "data: ".len() + 290_000);
}

#[tokio::test]
async fn the_answer_counts_the_subscribers() {
    let server = Server::start(&[]).await;
    let message = json!({"data": "x"});
    assert_eq!(server.publish(&message).await, (0, 0));
    let _first = server.subscribe().await;
    let (queued, subscribers) = server.publish(&message).await;
    assert_eq!(subscribers, 1);
    assert!(queued <= 1);
    let second = server.subscribe().await;
    assert_eq!(server.publish(&message).await.1, 2);
    drop(second);
    crate::common::until("one has left", || async {
        server.publish(&message).await.1 == 1
    })
    .await;
}

#[tokio::test]
async fn the_answer_has_no_other_member() {
    let server = Server::start(&[]).await;
    let response = server.form("data=1").send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body, json!({"queued": 0, "subscribers": 0}));
    assert!(
        text.starts_with(r#"{"queued":"#),
        "the order of tinysse: {text}"
    );
}
