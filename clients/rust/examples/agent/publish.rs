//! The job of a writer.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{Client, Error, Transport, Writer};
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

pub(super) async fn publish(input: Input, job: PublishJob) -> Result<(), Defect> {
    let client = Client::new(job.url, job.api_key)?;
    let mut publish = client.publish(&job.key).on_ack(|ack| {
        // The reader of the lines notices a missing one.
        let _ = write_line(&json!({"type": "ack", "count": ack.count, "last_id": ack.last_id}));
    });
    if job
        .transport
        .is_some_and(|transport| transport == "websocket")
    {
        publish = publish.transport(Transport::WebSocket);
    }
    if let Some(events) = job.max_pending {
        publish = publish.max_pending(events);
    }
    if let Some(time) = job.retry_for_ms {
        publish = publish.retry_for(Duration::from_millis(time));
    }
    write(input, &client, &job.key, publish.start()?).await
}

async fn write(
    mut input: Input,
    client: &Client,
    key: &str,
    mut writer: Writer,
) -> Result<(), Defect> {
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
                    write_line(&json!({"type": "flushed"}))?;
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
