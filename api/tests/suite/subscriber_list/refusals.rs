//! Requests of operators that the broker refuses.

use reqwest::Method;
use serde_json::{Value, json};

use super::{sse_with, subscribers};
use crate::common::{
    Broker,
    broker::{API_KEY, answer},
    ws::Ws,
};

async fn only_operators_may_list_and_disconnect_subscribers(broker: Broker) {
    let token = broker.create("chat").await;
    broker.sse("chat", &token, None).await.take(1).await;
    let id = subscribers(&broker, "").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (method, path) in [
        (Method::GET, "/api/clients".to_owned()),
        (Method::DELETE, format!("/api/clients/{id}")),
    ] {
        let request = || {
            broker
                .http
                .request(method.clone(), format!("{}{path}", broker.url))
        };
        for request in [
            request(),
            request().bearer_auth(&token),
            request().header("X-API-KEY", "wrong"),
        ] {
            let (status, error) = answer(request).await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (401, &json!("unauthorized")),
                "{path}"
            );
        }
        let preflight = request()
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", method.as_str());
        let request = preflight.build().unwrap();
        let url = request.url().clone();
        let preflight = broker
            .http
            .request(Method::OPTIONS, url)
            .headers(request.headers().clone())
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 204, "{path}");
        assert!(
            preflight.headers()["Access-Control-Allow-Methods"]
                .to_str()
                .unwrap()
                .contains(method.as_str())
        );
    }
    let (status, error) = answer(
        broker
            .http
            .post(format!("{}/api/clients/{id}", broker.url))
            .header("X-API-KEY", API_KEY),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (405, &json!("method-not-allowed"))
    );
}

async fn a_client_name_or_tags_that_cannot_be_displayed_are_refused(broker: Broker) {
    let token = broker.create("chat").await;
    let long = "x".repeat(129);
    let many = (0..17).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for bad in [
        format!("client_name={long}"),
        "client_name=%FF".into(),
        "client_name=a%0A".into(),
        format!("tags={many}"),
        format!("tags=a,{}", &long[64..]),
    ] {
        let url = format!(
            "{}&{bad}",
            broker.subscribe_url("sse", "chat", &token, None)
        );
        let (status, error) = answer(broker.http.get(&url)).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!("invalid-parameter")),
            "{bad}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains(bad.split('=').next().unwrap()),
            "{error}"
        );
        assert_eq!(broker.http.head(&url).send().await.unwrap().status(), 400);
        let socket = Ws::connect(
            &format!("{}&{bad}", broker.subscribe_url("ws", "chat", &token, None)),
            &[],
        )
        .await;
        assert_eq!(
            socket
                .err()
                .map(|(status, error)| (status, error["code"].clone())),
            Some((400, json!("invalid-parameter"))),
            "{bad}"
        );
    }
    assert_eq!(subscribers(&broker, "").await, Vec::<Value>::new());
    let _subscriber = sse_with(&broker, "chat", &token, "client_name=&tags=").await;
    let row = subscribers(&broker, "").await.remove(0);
    assert_eq!((row.get("name"), &row["tags"]), (None, &json!([])));
}

on_every_store!(
    only_operators_may_list_and_disconnect_subscribers,
    a_client_name_or_tags_that_cannot_be_displayed_are_refused,
);
