//! The job of a writer.

use std::{
    io::{self, Write},
    time::Duration,
};

use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{Cancellation, Client, Error, Failure, Publish, Transport, Writer};
use tokio::time::sleep;

use super::{Defect, Input, failed, write_line};

#[derive(Deserialize)]
pub(super) struct PublishJob {
    url: String,
    api_key: String,
    key: String,
    transport: Option<String>,
    max_pending: Option<usize>,
    retry_for_ms: Option<u64>,
    lease_s: Option<u64>,
    coalesce_ms: Option<u64>,
    write_after_stop: Option<bool>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Step {
    Write {
        event: String,
        #[serde(default)]
        data: Value,
    },
    Flush,
    Hear,
    AwaitStop,
    Pipe {
        event: String,
        items: Vec<Value>,
        pause_ms: Option<u64>,
    },
    Finish,
    Cancel {
        reason: Option<String>,
        by: Option<String>,
    },
    Fail {
        code: Option<String>,
        message: Option<String>,
    },
    Close,
    Leave,
    Raise,
}

pub(super) async fn publish(input: Input, job: PublishJob) -> Result<(), Defect> {
    let client = Client::new(&job.url, &job.api_key)?;
    let publish = client.publish(&job.key).on_ack(|ack| {
        // The reader of the lines notices a missing one.
        let _ = write_line(&json!({"type": "ack", "count": ack.count, "last_id": ack.last_id}));
    });
    let writer = with_options(publish, &job).start()?;
    write(input, &client, &job.key, writer).await
}

fn with_options(mut publish: Publish, job: &PublishJob) -> Publish {
    if job.transport.as_deref() == Some("websocket") {
        publish = publish.transport(Transport::WebSocket);
    }
    if let Some(events) = job.max_pending {
        publish = publish.max_pending(events);
    }
    if let Some(time) = job.retry_for_ms {
        publish = publish.retry_for(Duration::from_millis(time));
    }
    if let Some(seconds) = job.lease_s {
        publish = publish.lease(Duration::from_secs(seconds));
    }
    if let Some(time) = job.coalesce_ms {
        publish = publish.coalesce(Duration::from_millis(time));
    }
    publish.write_after_stop(job.write_after_stop.unwrap_or_default())
}

async fn write(
    mut input: Input,
    client: &Client,
    key: &str,
    mut writer: Writer,
) -> Result<(), Defect> {
    let mut hearing = None;
    while let Some(line) = input.next_line().await? {
        let step = match serde_json::from_str(&line)? {
            Step::Hear => {
                write_line(&json!({"type": "hearing"}))?;
                hearing = Some(tokio::spawn(hear(writer.signals())));
                continue;
            }
            Step::AwaitStop => {
                let stop = writer.stop_token();
                tokio::spawn(async move {
                    stop.cancelled().await;
                    write_line(&json!({"type": "stop-heard"}))
                });
                continue;
            }
            step @ (Step::Write { .. } | Step::Flush | Step::Pipe { .. }) => step,
            last => {
                let outcome = settle(writer, last, client, key).await;
                if let Some(hearing) = hearing {
                    hearing.await??;
                }
                return done(outcome);
            }
        };
        match go_on(&mut writer, step).await {
            Ok(()) => {}
            Err(error @ (Error::InvalidEvent(_) | Error::ReservedEvent(_))) => failed(&error)?,
            Err(Error::Stopped { by, .. }) => {
                drop(writer);
                wait_for_end(client, key).await;
                return write_line(&json!({"type": "stopped", "by": by}));
            }
            Err(error) => return failed(&error),
        }
    }
    Err("the input ended before the job".into())
}

/// Does a step after which the writer may go on.
async fn go_on(writer: &mut Writer, step: Step) -> Result<(), Error> {
    match step {
        Step::Write { event, data } => writer.write(&event, data).await,
        Step::Flush => {
            writer.flush().await?;
            // The reader of the lines notices a missing one.
            let _ = write_line(&json!({"type": "flushed"}));
            Ok(())
        }
        Step::Pipe {
            event,
            items,
            pause_ms,
        } => {
            let pause = Duration::from_millis(pause_ms.unwrap_or_default());
            let items = stream::iter(items).then(|item| async move {
                sleep(pause).await;
                item
            });
            writer
                .pipe_from(items.chain(stream::pending()), &event)
                .await
        }
        _ => Ok(()),
    }
}

/// Does the last step.
async fn settle(writer: Writer, step: Step, client: &Client, key: &str) -> Result<(), Error> {
    match step {
        Step::Finish => writer.finish().await,
        Step::Cancel { reason, by } => {
            let mut cancellation = Cancellation::default();
            cancellation.reason = reason;
            cancellation.by = by;
            writer.cancel_with(cancellation).await
        }
        Step::Fail { code, message } => {
            let mut failure = Failure::default();
            failure.code = code;
            failure.message = message;
            writer.fail(failure).await
        }
        Step::Close => writer.close().await,
        Step::Leave => writer.leave().await.map(drop),
        _ => {
            drop(writer);
            wait_for_end(client, key).await;
            Ok(())
        }
    }
}

/// Writes the signals until they are over.
async fn hear(
    signals: impl futures::Stream<Item = Result<tinistreamer_client::types::SignalRecord, Error>>,
) -> Result<(), Defect> {
    let mut signals = std::pin::pin!(signals);
    while let Some(signal) = signals.next().await {
        match signal {
            Ok(signal) => {
                let mut line = json!({
                    "type": "signal", "seq": signal.seq, "name": signal.name, "by": signal.by,
                });
                if let Some(data) = signal.data {
                    line["data"] = data;
                }
                write_line(&line)?;
            }
            // Standard error is for people.
            Err(error) => writeln!(io::stderr(), "{error}")?,
        }
    }
    write_line(&json!({"type": "silent"}))
}

/// Keeps the runtime alive while the dropped writer works in the background.
async fn wait_for_end(client: &Client, key: &str) {
    for _ in 0..300 {
        if client
            .stream_info(key)
            .await
            .is_ok_and(|info| info.status != "active")
        {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn done(outcome: Result<(), Error>) -> Result<(), Defect> {
    match outcome {
        Ok(()) => write_line(&json!({"type": "done"})),
        Err(error) => failed(&error),
    }
}
