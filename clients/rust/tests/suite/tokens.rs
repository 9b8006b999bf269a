//! Tokens that expire, and functions that get new ones.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use tinistreamer_client::{Token, subscribe};

use crate::common::{END, Response, START, Script, TOKEN, all, failure, names};

/// A function that returns these tokens, one after another.
fn tokens(tokens: &[&str]) -> Token {
    let tokens: Arc<Mutex<VecDeque<String>>> =
        Arc::new(Mutex::new(tokens.iter().copied().map(Into::into).collect()));
    Token::from_fn(move || {
        let token = tokens.lock().unwrap().pop_front().unwrap();
        async move { Ok::<_, Infallible>(token) }
    })
}

#[tokio::test]
async fn an_expired_token_is_replaced() {
    let script = Script::start([
        Response::events(START),
        Response::error(401, "token-expired", ""),
        Response::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), tokens(&["first", "second"]))
        .start()
        .unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "token", "end"]
    );
    let requests = script.requests();
    assert!(
        requests[1].contains("Bearer first\r\n") && requests[2].contains("Bearer second\r\n"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_refused_new_token_is_an_error() {
    let script = Script::start([Response::error(401, "unauthorized", "")]).await;
    assert_eq!(
        failure(
            &mut subscribe(script.sse_url(), tokens(&["bad"]))
                .start()
                .unwrap()
        )
        .await
        .code(),
        "unauthorized"
    );
    let script = Script::start([
        Response::events(START),
        Response::error(401, "token-expired", ""),
        Response::error(401, "unauthorized", ""),
    ])
    .await;
    assert_eq!(
        failure(
            &mut subscribe(script.sse_url(), tokens(&["good", "bad"]))
                .start()
                .unwrap()
        )
        .await
        .code(),
        "unauthorized"
    );
}

#[tokio::test]
async fn a_token_without_a_function_is_not_replaced() {
    let script = Script::start([
        Response::events(START),
        Response::error(401, "token-expired", ""),
    ])
    .await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "token-expired"
    );
}

#[tokio::test]
async fn a_failing_token_function_is_an_error() {
    let script = Script::start([]).await;
    let token = Token::from_fn(|| async { Err::<String, _>("the backend is away") });
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), token).start().unwrap())
            .await
            .code(),
        "token"
    );
}
