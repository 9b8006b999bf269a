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

use super::{Defect, Input, failed, say};

#[derive(Deserialize)]
pub(super) struct Job {
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
enum Order {
    Token { token: String },
    Stop { op: Stop },
    Ask(Question),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stop {
    Stop,
}

/// What is answered by a line, in order.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Question {
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

pub(super) async fn run(input: Input, mut job: Job) -> Result<(), Defect> {
    let (token, asked, stop) = control(input, job.token.take());
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
                    Ok(events) => follow_many(events, asked, pause).await,
                    Err(error) => failed(&error),
                }
            }
        }
    };
    tokio::select! {
        outcome = following => outcome,
        // Which drops the subscription.
        () = stop => say(&json!({"type": "stopped"})),
    }
}

fn with_options<S>(mut subscription: Subscribe<S>, job: Job) -> Subscribe<S> {
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

/// The token, or the function that asks for one; what is asked meanwhile; and a future that is
/// ready when the subscription is to stop.
fn control(
    mut input: Input,
    token: Option<String>,
) -> (
    Token,
    mpsc::UnboundedReceiver<Question>,
    impl Future<Output = ()>,
) {
    let (tokens, wanted) = mpsc::unbounded_channel();
    let (questions, asked) = mpsc::unbounded_channel();
    let stop = async move {
        while let Ok(Some(line)) = input.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Order::Token { token }) => tokens.send(token).unwrap_or_default(),
                Ok(Order::Stop { op: Stop::Stop }) => return,
                Ok(Order::Ask(question)) => questions.send(question).unwrap_or_default(),
                Err(_) => {}
            }
        }
        std::future::pending::<()>().await;
    };
    let wanted = Arc::new(Mutex::new(wanted));
    let ask = move || {
        let wanted = Arc::clone(&wanted);
        async move {
            say(&json!({"type": "token-wanted"}))?;
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
        asked,
        stop,
    )
}

async fn follow(mut events: Subscription, pause: Duration) -> Result<(), Defect> {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => say(&line(&event))?,
            Err(error) => return failed(&error),
        }
        sleep(pause).await;
    }
    say(&json!({"type": "finished", "status": events.status().map(Status::as_str)}))
}

async fn follow_many(
    mut events: ManySubscription,
    mut asked: mpsc::UnboundedReceiver<Question>,
    pause: Duration,
) -> Result<(), Defect> {
    // The answer that comes next, which may take time.
    let mut answering = Fuse::terminated();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    let mut line = line(&event);
                    line["key"] = event.key.into();
                    say(&line)?;
                    sleep(pause).await;
                }
                Some(Err(error)) => return failed(&error),
                None => break,
            },
            Some(question) = asked.recv(), if answering.is_terminated() => answering = answer(&events, question).fuse(),
            line = &mut answering => say(&line)?,
        }
    }
    let statuses: BTreeMap<_, _> = events
        .statuses()
        .into_iter()
        .map(|(key, status)| (key, status.map(Status::as_str)))
        .collect();
    say(&json!({"type": "finished", "statuses": statuses}))
}

fn answer(events: &ManySubscription, question: Question) -> BoxFuture<'static, Value> {
    fn outcome(done: &str, key: &str, outcome: Result<Option<String>, Error>) -> Value {
        match outcome {
            Ok(_) => json!({"type": done, "key": key}),
            Err(error) => json!({"type": "refused", "key": key, "code": error.code()}),
        }
    }
    let handle = events.handle();
    match question {
        Question::Cursor => ready(json!({"type": "cursor", "cursor": events.cursor()})).boxed(),
        Question::Add {
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
        Question::Drop { key } => {
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
            json!({"type": "missed", "after": missed.after, "first": missed.first, "missed": missed.missed})
        }
        None => json!({"type": "event", "id": id, "event": event, "data": data}),
    }
}
