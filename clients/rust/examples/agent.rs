//! The agent of `tests/clients`: does one job over the client's public interface, told and reported as lines of JSON.

use std::{
    error::Error as _,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{Client, Error, Event, Status, Subscribe, Token, Transport, Writer, subscribe, types};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin},
    sync::{Mutex, mpsc},
    time::sleep,
};

/// What makes the agent itself fail.
type Defect = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
enum Job {
    Subscribe {
        url: String,
        token: Option<String>,
        after: Option<String>,
        pause_ms: Option<u64>,
        silence_ms: Option<u64>,
        give_up_after_ms: Option<u64>,
    },
    Publish {
        url: String,
        api_key: String,
        key: String,
        transport: Option<String>,
        max_pending: Option<usize>,
        retry_for_ms: Option<u64>,
    },
    Manage {
        url: String,
        api_key: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Step {
    Write {
        event: String,
        #[serde(default)]
        data: Value,
    },
    Flush,
    Finish,
    Cancel,
    Close,
    Leave,
    Raise,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Order {
    Token { token: String },
    Stop { op: Stop },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stop {
    Stop,
}

#[derive(Deserialize)]
struct Call {
    call: String,
    #[serde(default)]
    args: Value,
}

#[tokio::main]
async fn main() -> Result<(), Defect> {
    work().await?;
    // The thread that waits for input would keep the program for as long as that is open.
    std::process::exit(0)
}

async fn work() -> Result<(), Defect> {
    let mut input = BufReader::new(stdin()).lines();
    let job = input.next_line().await?.ok_or("no job")?;
    match serde_json::from_str(&job)? {
        Job::Subscribe { url, token, after, pause_ms, silence_ms, give_up_after_ms } => {
            let (token, stop) = control(input, token);
            let mut subscription = subscribe(url, token);
            if let Some(id) = after {
                subscription = subscription.after(id);
            }
            if let Some(time) = silence_ms {
                subscription = subscription.silence(Duration::from_millis(time));
            }
            if let Some(time) = give_up_after_ms {
                subscription = subscription.give_up_after(Duration::from_millis(time));
            }
            let pause = Duration::from_millis(pause_ms.unwrap_or_default());
            tokio::select! {
                outcome = follow(subscription, pause) => outcome,
                // Which drops the subscription.
                () = stop => say(&json!({"type": "stopped"})),
            }
        }
        Job::Publish { url, api_key, key, transport, max_pending, retry_for_ms } => {
            let client = Client::new(url, api_key)?;
            let mut publish = client.publish(&key).on_ack(|ack| {
                // Whoever reads the lines finds the one that is missing.
                let _ = say(&json!({"type": "ack", "count": ack.count, "last_id": ack.last_id}));
            });
            if transport.is_some_and(|transport| transport == "websocket") {
                publish = publish.transport(Transport::WebSocket);
            }
            if let Some(events) = max_pending {
                publish = publish.max_pending(events);
            }
            if let Some(time) = retry_for_ms {
                publish = publish.retry_for(Duration::from_millis(time));
            }
            write(input, &client, &key, publish.start()?).await
        }
        Job::Manage { url, api_key } => manage(input, &Client::new(url, api_key)?).await,
    }
}

/// The token, or the function that asks for one, and a future that is ready when the subscription is to stop.
fn control(mut input: Lines<BufReader<Stdin>>, token: Option<String>) -> (Token, impl Future<Output = ()>) {
    let (tokens, wanted) = mpsc::unbounded_channel();
    let stop = async move {
        while let Ok(Some(line)) = input.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Order::Token { token }) => tokens.send(token).unwrap_or_default(),
                Ok(Order::Stop { op: Stop::Stop }) => return,
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
            wanted.lock().await.recv().await.ok_or_else(|| Defect::from("no token came"))
        }
    };
    (token.map_or_else(|| Token::from_fn(ask), Token::from), stop)
}

async fn follow(subscription: Subscribe, pause: Duration) -> Result<(), Defect> {
    let mut events = match subscription.start() {
        Ok(events) => events,
        Err(error) => return failed(&error),
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => say(&line(&event))?,
            Err(error) => return failed(&error),
        }
        sleep(pause).await;
    }
    say(&json!({"type": "finished", "status": events.status().map(Status::as_str)}))
}

fn line(Event { id, event, data, missed, .. }: &Event) -> Value {
    match missed {
        Some(missed) => json!({"type": "missed", "after": missed.after, "first": missed.first, "missed": missed.missed}),
        None => json!({"type": "event", "id": id, "event": event, "data": data}),
    }
}

async fn write(mut input: Lines<BufReader<Stdin>>, client: &Client, key: &str, mut writer: Writer) -> Result<(), Defect> {
    while let Some(line) = input.next_line().await? {
        let outcome = match serde_json::from_str(&line)? {
            Step::Write { event, data } => match writer.write(&event, data).await {
                Err(error @ (Error::InvalidEvent(_) | Error::ReservedEvent(_))) => {
                    failed(&error)?;
                    continue;
                }
                outcome => outcome,
            },
            Step::Flush => match writer.flush().await {
                Ok(()) => {
                    say(&json!({"type": "flushed"}))?;
                    continue;
                }
                outcome => outcome,
            },
            Step::Finish | Step::Leave => return done(writer.finish().await),
            Step::Cancel => return done(writer.cancel().await),
            Step::Close => return done(writer.close().await),
            Step::Raise => {
                drop(writer);
                wait_for_end(client, key).await;
                return done(Ok(()));
            }
        };
        if let Err(error) = outcome {
            return failed(&error);
        }
    }
    Err("the input ended before the job".into())
}

/// Keeps the runtime alive for what the dropped writer does in the background.
async fn wait_for_end(client: &Client, key: &str) {
    for _ in 0..300 {
        if client.stream_info(key).await.is_ok_and(|info| info.status != "active") {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn done(outcome: Result<(), Error>) -> Result<(), Defect> {
    match outcome {
        Ok(()) => say(&json!({"type": "done"})),
        Err(error) => failed(&error),
    }
}

async fn manage(mut input: Lines<BufReader<Stdin>>, client: &Client) -> Result<(), Defect> {
    while let Some(line) = input.next_line().await? {
        let call: Call = serde_json::from_str(&line)?;
        match run(client, &call).await? {
            Ok(value) => say(&json!({"type": "result", "value": value}))?,
            Err(error) => failed(&error)?,
        }
    }
    Ok(())
}

/// What the call came to: the answer's JSON in the broker's own field names, or the client's error.
async fn run(client: &Client, Call { call, args }: &Call) -> Result<Result<Value, Error>, Defect> {
    fn value<T: serde::Serialize>(result: Result<T, Error>) -> Result<Result<Value, Error>, Defect> {
        Ok(match result {
            Ok(answer) => Ok(serde_json::to_value(answer)?),
            Err(error) => Err(error),
        })
    }
    let text = |name| args.get(name).and_then(Value::as_str);
    let key = text("key").unwrap_or_default();
    match &**call {
        "create_stream" => value(client.create_stream(types::CreateStream::deserialize(args)?).await),
        "issue_token" => value(client.issue_token(types::IssueToken::deserialize(args)?).await),
        "list_streams" => value(client.list_streams(text("pattern")).await),
        "stream_info" => value(client.stream_info(key).await),
        "stream_events" => value(client.stream_events(key).await),
        "end_stream" => value(client.end_stream(key).await),
        "cancel_stream" => value(client.cancel_stream(key).await),
        "add_events" => value(client.add_events(types::AddEvents::deserialize(args)?).await),
        "broker_info" => value(client.broker_info().await),
        "ready" => value(client.ready().await),
        other => Err(format!("no call {other:?}").into()),
    }
}

fn failed(error: &Error) -> Result<(), Defect> {
    let status = if let Error::Api { status, .. } = error { *status } else { None };
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    say(&json!({"type": "failed", "status": status, "code": error.code(), "message": message}))
}

fn say(line: &Value) -> Result<(), Defect> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
