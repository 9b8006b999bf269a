//! Uploads of events as newline-delimited JSON.

use std::convert::Infallible;

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use tokio::time::timeout;

use super::{outbox::Outbox, target::Target};
use crate::{Error, retry::Retry, types::UploadSummary};

/// The largest body of a request, in bytes; a single event may be larger. It is small enough to be
/// sent, and sent again, before the response times out.
const MAX_BODY: usize = 1 << 20;

/// Sends the writer's events until that fails permanently.
pub(super) async fn send(
    target: &Target,
    producer: &str,
    outbox: &mut Outbox,
    mut retry: Retry,
) -> Result<Infallible, Error> {
    loop {
        let sequence = outbox.unconfirmed().await;
        let (body, events) = body(outbox.from(sequence));
        let attempt = timeout(
            retry.timeout(outbox.since()),
            upload(target, producer, sequence, body),
        );
        match attempt
            .await
            .map_err(Error::unreachable)
            .and_then(|outcome| outcome)
        {
            Ok(summary) => settle(outbox, summary, events)?,
            Err(error) => retry.after(error, outbox.since()).await?,
        }
    }
}

/// The body of a request with the first of these events, and how many events it holds.
fn body<'a>(events: impl Iterator<Item = &'a Bytes>) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    let mut count = 0;
    for line in events {
        if count > 0 && body.len() + line.len() >= MAX_BODY {
            break;
        }
        body.extend_from_slice(line);
        body.push(b'\n');
        count += 1;
    }
    (body, count)
}

async fn upload(
    target: &Target,
    producer: &str,
    sequence: u64,
    body: Vec<u8>,
) -> Result<UploadSummary, Error> {
    let request = target
        .client
        .request(Method::POST, "/api/event/add/json-stream")
        .query(&target.query())
        .query(&[("producer", producer)])
        .query(&[("sequence", sequence)]);
    let response = request
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(body)
        .send()
        .await?;
    if response.status() != StatusCode::OK {
        return Err(Error::from_response(response).await);
    }
    let body = response.bytes().await?;
    serde_json::from_slice(&body).map_err(|error| Error::InvalidAnswer(error.to_string()))
}

/// Records which events of a request are stored.
fn settle(outbox: &Outbox, summary: UploadSummary, events: usize) -> Result<(), Error> {
    let counts = [
        summary.num_events,
        summary.num_duplicates.unwrap_or_default(),
        summary.num_errors,
    ];
    if counts.into_iter().try_fold(0, u64::checked_add) != Some(events as u64) {
        return Err(Error::InvalidAnswer(format!(
            "of {events} events, {counts:?} were written, known and refused"
        )));
    }
    outbox
        .ledger()
        .confirm(events as u64 - summary.num_errors, summary.last_id);
    match summary.errors.into_iter().next() {
        None => Ok(()),
        // The line was too long, as names were checked before. The events after it are stored, so
        // that the writer can't repair this.
        Some(message) => Err(Error::refused("invalid-event", message)),
    }
}
