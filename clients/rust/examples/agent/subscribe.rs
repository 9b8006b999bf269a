//! The job of a subscriber, to one stream or to several.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture, ready},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{
    Cursor, Error, Event, ManySubscription, Status, Subscribe, Subscription, Token, subscribe,
    subscribe_many,
};
use tokio::{
    sync::{Mutex, mpsc},
    time::sleep,
};

use super::{Defect, Input, failed, write_line};

#[derive(Deserialize)]
pub(super) struct SubscribeJob {
    url: String,
    keys: Option<Vec<String>>,
    token: Option<String>,
    after: Option<After>,
    events: Option<Vec<String>>,
    from: Option<String>,
    wait: Option<bool>,
    client_name: Option<String>,
    tags: Option<Vec<String>>,
    pause_ms: Option<u64>,
    silence_ms: Option<u64>,
    give_up_after_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum After {
    Text(String),
    Ids(BTreeMap<String, String>),
}

/// A line of input.
#[derive(Deserialize)]
#[serde(untagged)]
enum InputLine {
    Token { token: String },
    Stop { op: Stop },
    Request(Request),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stop {
    Stop,
}

/// A request to the subscription. The agent replies with a line, in order.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request {
    Cursor,
    Add {
        key: String,
        after: Option<String>,
        from: Option<String>,
        wait: Option<bool>,
    },
    Drop {
        key: String,
    },
}

pub(super) async fn run(input: Input, mut job: SubscribeJob) -> Result<(), Defect> {
    let (token, requests, stop) = control(input, job.token.take());
    let pause = Duration::from_millis(job.pause_ms.unwrap_or_default());
    let following = async {
        match job.keys.take() {
            None => {
                let mut subscription = subscribe(&job.url, token);
                if let Some(After::Text(id)) = job.after.take() {
                    subscription = subscription.after(id);
                }
                match with_options(subscription, job).start() {
                    Ok(events) => follow(events, pause).await,
                    Err(error) => failed(&error),
                }
            }
            Some(keys) => {
                let mut subscription = subscribe_many(&job.url, keys, token);
                subscription = match job.after.take() {
                    None => subscription,
                    Some(After::Text(cursor)) => subscription.after(cursor),
                    Some(After::Ids(ids)) => {
                        subscription.after(ids.into_iter().collect::<Cursor>())
                    }
                };
                match with_options(subscription, job).start() {
                    Ok(events) => follow_many(events, requests, pause).await,
                    Err(error) => failed(&error),
                }
            }
        }
    };
    tokio::select! {
        outcome = following => outcome,
        // Dropping `following` drops the subscription.
        () = stop => write_line(&json!({"type": "stopped"})),
    }
}

fn with_options<S>(mut subscription: Subscribe<S>, job: SubscribeJob) -> Subscribe<S> {
    subscription = subscription
        .wait(job.wait.unwrap_or_default())
        .events(job.events.unwrap_or_default());
    subscription = subscription.tags(job.tags.unwrap_or_default());
    if let Some(from) = job.from {
        subscription = subscription.from(from);
    }
    if let Some(name) = job.client_name {
        subscription = subscription.client_name(name);
    }
    if let Some(time) = job.silence_ms {
        subscription = subscription.silence(Duration::from_millis(time));
    }
    if let Some(time) = job.give_up_after_ms {
        subscription = subscription.give_up_after(Duration::from_millis(time));
    }
    subscription
}

/// Returns the token, or the function that requests one over the output; the requests from the
/// input; and a future that is ready when the subscription must stop.
fn control(
    mut input: Input,
    token: Option<String>,
) -> (
    Token,
    mpsc::UnboundedReceiver<Request>,
    impl Future<Output = ()>,
) {
    let (tokens, wanted) = mpsc::unbounded_channel();
    let (sender, requests) = mpsc::unbounded_channel();
    let stop = async move {
        while let Ok(Some(line)) = input.next_line().await {
            match serde_json::from_str(&line) {
                Ok(InputLine::Token { token }) => tokens.send(token).unwrap_or_default(),
                Ok(InputLine::Stop { op: Stop::Stop }) => return,
                Ok(InputLine::Request(request)) => sender.send(request).unwrap_or_default(),
                Err(_) => {}
            }
        }
        std::future::pending::<()>().await;
    };
    let wanted = Arc::new(Mutex::new(wanted));
    let ask = move || {
        let wanted = Arc::clone(&wanted);
        async move {
            write_line(&json!({"type": "token-wanted"}))?;
            wanted
                .lock()
                .await
                .recv()
                .await
                .ok_or_else(|| Defect::from("no token came"))
        }
    };
    (
        token.map_or_else(|| Token::from_fn(ask), Token::from),
        requests,
        stop,
    )
}

async fn follow(mut events: Subscription, pause: Duration) -> Result<(), Defect> {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => write_line(&line(&event))?,
            Err(error) => return failed(&error),
        }
        sleep(pause).await;
    }
    write_line(&json!({"type": "finished", "status": events.status().map(Status::as_str)}))
}

async fn follow_many(
    mut events: ManySubscription,
    mut requests: mpsc::UnboundedReceiver<Request>,
    pause: Duration,
) -> Result<(), Defect> {
    // The next reply, which may take time.
    let mut replying = Fuse::terminated();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    let mut line = line(&event);
                    line["key"] = event.key.into();
                    write_line(&line)?;
                    sleep(pause).await;
                }
                Some(Err(error)) => return failed(&error),
                None => break,
            },
            Some(request) = requests.recv(), if replying.is_terminated() => {
                replying = reply(&events, request).fuse();
            }
            line = &mut replying => write_line(&line)?,
        }
    }
    let statuses: BTreeMap<_, _> = events
        .statuses()
        .into_iter()
        .map(|(key, status)| (key, status.map(Status::as_str)))
        .collect();
    write_line(&json!({"type": "finished", "statuses": statuses}))
}

fn reply(events: &ManySubscription, request: Request) -> BoxFuture<'static, Value> {
    fn outcome(done: &str, key: &str, outcome: Result<Option<String>, Error>) -> Value {
        match outcome {
            Ok(_) => json!({"type": done, "key": key}),
            Err(error) => json!({"type": "refused", "key": key, "code": error.code()}),
        }
    }
    let handle = events.handle();
    match request {
        Request::Cursor => ready(json!({"type": "cursor", "cursor": events.cursor()})).boxed(),
        Request::Add {
            key,
            after,
            from,
            wait,
        } => {
            let mut add = handle.add(&key);
            if let Some(id) = after {
                add = add.after(id);
            }
            if let Some(from) = from {
                add = add.from(from);
            }
            if let Some(wait) = wait {
                add = add.wait(wait);
            }
            async move { outcome("added", &key, add.await) }.boxed()
        }
        Request::Drop { key } => {
            async move { outcome("dropped", &key, handle.drop(&key).await) }.boxed()
        }
    }
}

fn line(
    Event {
        id,
        event,
        data,
        missed,
        ..
    }: &Event,
) -> Value {
    match missed {
        Some(missed) => {
            json!({
                "type": "missed",
                "after": missed.after,
                "first": missed.first,
                "missed": missed.missed,
            })
        }
        None => json!({"type": "event", "id": id, "event": event, "data": data}),
    }
}
