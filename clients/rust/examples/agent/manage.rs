//! The job of a backend that calls management routes.

use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{Client, Error, types};

use super::{Defect, Input, failed, write_line};

#[derive(Deserialize)]
struct Call {
    call: String,
    #[serde(default)]
    args: Value,
}

pub(super) async fn manage(mut input: Input, client: &Client) -> Result<(), Defect> {
    while let Some(line) = input.next_line().await? {
        let call: Call = serde_json::from_str(&line)?;
        match run(client, &call).await? {
            Ok(value) => write_line(&json!({"type": "result", "value": value}))?,
            Err(error) => failed(&error)?,
        }
    }
    Ok(())
}

/// Calls a route. Returns the response's JSON with the broker's field names, or the client's error.
async fn run(client: &Client, Call { call, args }: &Call) -> Result<Result<Value, Error>, Defect> {
    fn value<T: serde::Serialize>(
        result: Result<T, Error>,
    ) -> Result<Result<Value, Error>, Defect> {
        Ok(match result {
            Ok(response) => Ok(serde_json::to_value(response)?),
            Err(error) => Err(error),
        })
    }
    let text = |name| args.get(name).and_then(Value::as_str);
    let key = text("key").unwrap_or_default();
    match &**call {
        "create_stream" => {
            // As most callers do: a stream is created from a key, and other options override its
            // defaults.
            let (given, default) = (
                types::CreateStream::deserialize(args)?,
                types::CreateStream::from(key),
            );
            value(
                client
                    .create_stream(types::CreateStream {
                        max_events: given.max_events.or(default.max_events),
                        ..given
                    })
                    .await,
            )
        }
        "issue_token" => value(
            client
                .issue_token(types::IssueToken::deserialize(args)?)
                .await,
        ),
        "list_streams" => value(client.list_streams(text("pattern")).await),
        "stream_info" => value(client.stream_info(key).await),
        "stream_events" => value(client.stream_events(key).await),
        "end_stream" => value(
            client
                .end_stream(types::EndStream::deserialize(args)?)
                .await,
        ),
        "cancel_stream" => value(
            client
                .cancel_stream(types::CancelStream::deserialize(args)?)
                .await,
        ),
        "fail_stream" => value(
            client
                .fail_stream(types::FailStream::deserialize(args)?)
                .await,
        ),
        "send_signal" => value(
            client
                .send_signal(key, types::SendSignal::deserialize(args)?)
                .await,
        ),
        "renew_stream" => value(
            client
                .renew_stream(types::RenewStream::deserialize(args)?)
                .await,
        ),
        "read_signals" => {
            let after = args["after"].as_u64().unwrap_or(0);
            value(client.read_signals(key, after).await)
        }
        "add_events" => value(
            client
                .add_events(types::AddEvents::deserialize(args)?)
                .await,
        ),
        "list_clients" => value(client.list_clients(text("key"), text("tag")).await),
        "disconnect_client" => value(
            client
                .disconnect_client(text("id").unwrap_or_default())
                .await,
        ),
        "broker_info" => value(client.broker_info().await),
        "ready" => value(client.ready().await),
        other => Err(format!("no call {other:?}").into()),
    }
}
