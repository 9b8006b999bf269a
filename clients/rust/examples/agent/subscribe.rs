//! The job of a subscriber, to one stream or to several.

use std::{collections::BTreeMap, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture, ready},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tinistreamer_client::{
    ConnectionChange, Cursor, Error, Event, ManySubscription, Producer, Reason, Status, Subscribe,
    Subscription, subscribe, subscribe_many, subscribe_many_with, subscribe_with,
};
use tokio::{sync::mpsc, time::sleep};

use super::{
    Defect, Input,
    control::{ChangeRequest, Control, SignalRequest, control},
    failed, write_line,
};

#[derive(Deserialize)]
pub(super) struct SubscribeJob {
    url: Option<String>,
    keys: Option<Vec<String>>,
    token: Option<String>,
    access: Option<bool>,
    after: Option<After>,
    events: Option<Vec<String>>,
    from: Option<String>,
    wait: Option<bool>,
    client_name: Option<String>,
    tags: Option<Vec<String>>,
    rollup: Option<Vec<String>>,
    rollup_path: Option<Vec<String>>,
    rollup_ms: Option<u64>,
    connections: Option<bool>,
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

pub(super) async fn run(input: Input, mut job: SubscribeJob) -> Result<(), Defect> {
    let (control, stop) = control(input);
    let following = async {
        match job.keys.take() {
            None => follow_one(job, control).await,
            Some(keys) => follow_several(job, keys, control).await,
        }
    };
    tokio::select! {
        outcome = following => outcome,
        // The subscription is dropped by then.
        () = stop => write_line(&json!({"type": "stopped"})),
    }
}

async fn follow_one(mut job: SubscribeJob, control: Control) -> Result<(), Defect> {
    let Control {
        tokens,
        accesses,
        signals,
        ..
    } = control;
    let mut subscription = if job.access.unwrap_or_default() {
        with_url_and_token(subscribe_with(accesses.into_access()), &mut job)
    } else {
        let url = job.url.take().ok_or("no url")?;
        let token = job.token.take();
        subscribe(url, token.map_or_else(|| tokens.into_token(), Into::into))
    };
    if let Some(After::Text(id)) = job.after.take() {
        subscription = subscription.after(id);
    }
    let pause = Duration::from_millis(job.pause_ms.unwrap_or_default());
    let events = match with_options(subscription, job).start() {
        Ok(events) => events,
        Err(error) => return failed(&error),
    };
    let producer = events.producer();
    tokio::select! {
        outcome = follow(events, pause) => outcome,
        outcome = send_signals(signals, |_| producer.clone()) => outcome,
    }
}

async fn follow_several(
    mut job: SubscribeJob,
    keys: Vec<String>,
    control: Control,
) -> Result<(), Defect> {
    let Control {
        tokens,
        accesses,
        signals,
        changes,
    } = control;
    let mut subscription = if job.access.unwrap_or_default() {
        with_url_and_token(subscribe_many_with(accesses.into_access(), keys), &mut job)
    } else {
        let url = job.url.take().ok_or("no url")?;
        let token = job.token.take();
        subscribe_many(
            url,
            keys,
            token.map_or_else(|| tokens.into_token(), Into::into),
        )
    };
    subscription = match job.after.take() {
        None => subscription,
        Some(After::Text(cursor)) => subscription.after(cursor),
        Some(After::Ids(ids)) => subscription.after(ids.into_iter().collect::<Cursor>()),
    };
    let pause = Duration::from_millis(job.pause_ms.unwrap_or_default());
    let events = match with_options(subscription, job).start() {
        Ok(events) => events,
        Err(error) => return failed(&error),
    };
    let handle = events.handle();
    tokio::select! {
        outcome = follow_many(events, changes, pause) => outcome,
        outcome = send_signals(signals, |key| handle.producer(key.unwrap_or_default())) => outcome,
    }
}

fn with_url_and_token<S>(mut subscription: Subscribe<S>, job: &mut SubscribeJob) -> Subscribe<S> {
    if let Some(url) = job.url.take() {
        subscription = subscription.url(url);
    }
    if let Some(token) = job.token.take() {
        subscription = subscription.token(token);
    }
    subscription
}

fn with_options<S>(mut subscription: Subscribe<S>, job: SubscribeJob) -> Subscribe<S> {
    subscription = subscription
        .wait(job.wait.unwrap_or_default())
        .events(job.events.unwrap_or_default())
        .tags(job.tags.unwrap_or_default())
        .rollup(job.rollup.unwrap_or_default())
        .rollup_path(job.rollup_path.unwrap_or_default());
    if let Some(time) = job.rollup_ms {
        subscription = subscription.rollup_ms(Duration::from_millis(time));
    }
    if job.connections.unwrap_or_default() {
        subscription = subscription.on_connection(connection_line);
    }
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

fn connection_line(change: ConnectionChange<'_>) {
    // The reader of the lines notices a missing one.
    let _ = write_line(&json!({
        "type": "connection",
        "state": change.state.as_str(),
        "attempt": change.attempt,
        "failed": change.error.is_some(),
        "retry_in_ms": change.retry_in.map(|time| time.as_secs_f64() * 1000.0),
    }));
}

/// Sends the signals that the input asks for, one after another. Returns only after a defect.
async fn send_signals(
    mut requests: mpsc::UnboundedReceiver<SignalRequest>,
    producer: impl Fn(Option<String>) -> Producer,
) -> Result<(), Defect> {
    while let Some(request) = requests.recv().await {
        let sent = match request {
            SignalRequest::RequestStop { key } => producer(key).request_stop().await,
            SignalRequest::Signal { key, name, data } => {
                producer(key).signal(&name, data).await.map(Some)
            }
        };
        write_line(&match sent {
            Ok(seq) => json!({"type": "signalled", "seq": seq}),
            Err(error) => json!({"type": "signal-refused", "code": error.code()}),
        })?;
    }
    std::future::pending().await
}

async fn follow(mut events: Subscription, pause: Duration) -> Result<(), Defect> {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => write_line(&line(&event))?,
            Err(error) => return failed(&error),
        }
        sleep(pause).await;
    }
    write_line(&json!({
        "type": "finished",
        "status": events.status().map(Status::as_str),
        "reason": events.reason().map(reason),
    }))
}

/// What a last event says, without what it does not say.
fn reason(reason: &Reason) -> Value {
    let members = [
        ("code", &reason.code),
        ("message", &reason.message),
        ("reason", &reason.reason),
        ("by", &reason.by),
    ];
    let members = members.into_iter().filter_map(|(name, text)| {
        let text = text.as_deref()?;
        Some((name.to_owned(), text.into()))
    });
    Value::Object(members.collect::<Map<_, _>>())
}

async fn follow_many(
    mut events: ManySubscription,
    mut requests: mpsc::UnboundedReceiver<ChangeRequest>,
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
    let reasons: BTreeMap<_, _> = events
        .reasons()
        .into_iter()
        .map(|(key, found)| (key, found.as_ref().map(reason)))
        .collect();
    write_line(&json!({"type": "finished", "statuses": statuses, "reasons": reasons}))
}

fn reply(events: &ManySubscription, request: ChangeRequest) -> BoxFuture<'static, Value> {
    fn outcome(done: &str, key: &str, outcome: Result<Option<String>, Error>) -> Value {
        match outcome {
            Ok(_) => json!({"type": done, "key": key}),
            Err(error) => json!({"type": "refused", "key": key, "code": error.code()}),
        }
    }
    let handle = events.handle();
    match request {
        ChangeRequest::Cursor => {
            ready(json!({"type": "cursor", "cursor": events.cursor()})).boxed()
        }
        ChangeRequest::Add {
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
        ChangeRequest::Drop { key } => {
            async move { outcome("dropped", &key, handle.drop(&key).await) }.boxed()
        }
    }
}

fn line(event: &Event) -> Value {
    if let Some(missed) = &event.missed {
        return json!({
            "type": "missed",
            "after": missed.after,
            "first": missed.first,
            "missed": missed.missed,
        });
    }
    let mut line = json!({
        "type": "event", "id": event.id, "event": event.event, "data": event.data,
    });
    if event.count != 1 {
        line["count"] = event.count.into();
    }
    line
}
