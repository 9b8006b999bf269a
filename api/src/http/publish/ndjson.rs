//! NDJSON: an upload that may go on for hours, whose lines are forwarded as they arrive. Memory
//! holds a line and a batch, whatever the upload's length.

use std::{io, pin::pin};

use futures::FutureExt;
use rocket::{
    Data,
    data::{ByteUnit, DataStream},
    post,
};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use utoipa::ToSchema;

use super::{
    BATCH_BYTES, BATCH_EVENTS, count,
    event_error::code_of,
    members::{Members, Strict},
    producer::FromProducer,
};
use crate::{
    bounded::bounded,
    codec::{
        json::EventIn,
        ndjson::{Line, Lines},
    },
    http::{
        body::PlainBody,
        error::{ApiError, ErrorBody, ErrorCode},
        guards::ApiKeyHolder,
        query::QueryKey,
        response::Whole,
        state::AppState,
        store_error::at,
    },
    lifecycle::Lifecycle,
    store::SharedStore,
    stream::{EventId, NewEvent, ProducerSequence, StreamKey},
    telemetry::metrics::{SharedMetrics, Way},
};

/// Ids that the answer holds at the most.
const MAX_IDS: usize = 10_000;

/// Errors that the answer tells at the most.
const MAX_ERRORS: usize = 100;

/// The most bytes of each: the problem may repeat what the line held.
const MAX_ERROR_BYTES: usize = 512;

/// Room for what arrives at once.
const READ_BYTES: usize = 64 << 10;

/// What became of an upload.
#[derive(Default, Serialize, ToSchema)]
pub struct UploadSummary {
    /// The ids of the events written, the first 10,000.
    #[schema(value_type = Vec<String>, example = json!(["1767225600000-1"]))]
    ids: Vec<EventId>,
    /// How many events were written.
    #[schema(example = 1)]
    num_events: u64,
    /// How many events were not written because the stream had them already. Only with a producer.
    #[schema(example = 0, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    num_duplicates: Option<u64>,
    /// The id of the last one.
    #[schema(value_type = Option<String>, example = "1767225600000-1")]
    last_id: Option<EventId>,
    /// What was wrong with lines that were not written, the first 100.
    #[schema(example = json!(["line 7: an event name is 1 to 128 bytes of UTF-8 without control characters"]))]
    errors: Vec<String>,
    /// How many lines were not written.
    #[schema(example = 1)]
    num_errors: u64,
    /// Members of events that are neither `event` nor `data`, and were not stored: their names,
    /// each once, the first 16, cut to 64 bytes. Absent when there are none.
    #[schema(example = json!(["comment"]), max_items = 16)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
}

/// Writes newline-delimited events as they arrive, for as long as they come.
#[utoipa::path(operation_id = "upload_events", context_path = "/api", tag = "ingestion", security(("api_key" = [])), params(
    ("key" = String, Query, description = "The stream's key"),
    ("producer" = Option<String>, Query, description = "Who sends the events: a name that no other sender uses, 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`. Given, events that the stream has already are not written again, so that an upload that broke off can be repeated"),
    ("sequence" = Option<u64>, Query, maximum = 9_007_199_254_740_992_u64, description = "How many events the producer had sent into this stream before the first of these; only with `producer`, 0 when it is not given. Lines that are no events do not count"),
    ("strict" = Option<bool>, Query, description = "Refuse lines whose events have members other than `event` and `data`, which otherwise are ignored and named in the answer")),
    request_body(content = String, content_type = "application/x-ndjson", description = "One `{\"event\", \"data\"?}` a line; blank lines are skipped; any content type", example = "{\"event\":\"token\",\"data\":\"Hello\"}\n"), responses(
    (status = 200, description = "The upload is at its end; lines that are no events are told in `errors`", body = UploadSummary),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-parameter`, `invalid-producer`, `invalid-request`; `bad-request`: the upload broke off", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`: no active stream, or it ended meanwhile; the message says how many events were written", body = ErrorBody<'static>),
    (status = 409, description = "`sequence-gap`: events of the producer are missing before these; the message says how many events were written", body = ErrorBody<'static>),
    (status = 415, description = "`unsupported-media-type`: the body is compressed, or not UTF-8", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`; the message says how many events were written", body = ErrorBody<'static>)))]
#[post("/event/add/json-stream", data = "<data>")]
pub async fn add(
    _backend: ApiKeyHolder,
    key: QueryKey,
    producer: FromProducer,
    strict: Strict,
    _plain: PlainBody,
    data: Data<'_>,
    state: AppState<'_>,
) -> Result<Whole, ApiError> {
    let QueryKey(key) = key;
    // Told now, rather than after the first line, which may be a long time coming.
    state.must_be_active(&key).await?;
    let mut upload = Upload {
        store: SharedStore::clone(state.store),
        metrics: SharedMetrics::clone(state.metrics),
        key,
        batch: Vec::new(),
        batch_bytes: 0,
        max_line: state.settings.max_line,
        max_event: state.settings.max_event,
        summary: UploadSummary {
            num_duplicates: producer.0.as_ref().map(|_| 0),
            ..UploadSummary::default()
        },
        members: Members::new(strict),
        producer_sequence: producer.0,
    };
    upload
        .run(data.open(ByteUnit::max_value()), state.lifecycle)
        .await?;
    upload.summary.ignored = upload.members.take();
    Whole::json(&upload.summary, None)
}

/// An upload under way.
struct Upload {
    store: SharedStore,
    metrics: SharedMetrics,
    key: StreamKey,
    /// Where the batch stands among its producer's events.
    producer_sequence: Option<ProducerSequence>,
    batch: Vec<NewEvent>,
    batch_bytes: usize,
    max_line: usize,
    max_event: usize,
    members: Members,
    summary: UploadSummary,
}

impl Upload {
    async fn run(
        &mut self,
        mut body: DataStream<'_>,
        lifecycle: &Lifecycle,
    ) -> Result<(), ApiError> {
        let mut lines = Lines::new(self.max_line);
        let mut closing = pin!(lifecycle.closing());
        loop {
            while let Some(line) = lines.next_line() {
                self.take(line);
                if self.batch.len() >= BATCH_EVENTS || self.batch_bytes >= BATCH_BYTES {
                    self.write().await?;
                }
            }
            lines.buffer().reserve(READ_BYTES);
            // What is ready together is written together: a batch is written when there is nothing
            // more to read at once.
            let read = if let Some(read) = body.read_buf(lines.buffer()).now_or_never() {
                read
            } else {
                self.write().await?;
                tokio::select! {
                    read = body.read_buf(lines.buffer()) => read,
                    () = &mut closing => return Err(self.stopped(ErrorCode::ShuttingDown, "The broker is stopping")),
                }
            };
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return self.broke_off(&error).await,
            }
        }
        if let Some(line) = lines.last_line() {
            self.take(line);
        }
        self.write().await
    }

    /// The lines that are complete are written; the last one is not known to be.
    async fn broke_off(&mut self, error: &io::Error) -> Result<(), ApiError> {
        tracing::debug!(%error, "an upload broke off");
        self.write().await?;
        Err(self.stopped(ErrorCode::BadRequest, "The upload broke off"))
    }

    fn take(&mut self, line: Line) {
        let (number, code, problem) = match line {
            Line::Text(number, text) => match EventIn::read(&text)
                .and_then(|event| self.members.check(event, self.max_event))
            {
                Ok(event) => {
                    self.batch_bytes += event.weight();
                    return self.batch.push(event);
                }
                Err(problem) => (number, code_of(&problem), problem.to_string()),
            },
            Line::TooLong(number) => (
                number,
                ErrorCode::TooLarge,
                format!("longer than {} bytes", self.max_line),
            ),
        };
        self.metrics.ingest(Way::Ndjson).refuse(code.as_str());
        self.summary.num_errors += 1;
        if self.summary.errors.len() < MAX_ERRORS {
            self.summary.errors.push(
                bounded(format!("line {number}: {problem}").into(), MAX_ERROR_BYTES).into_owned(),
            );
        }
    }

    async fn write(&mut self) -> Result<(), ApiError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let appended = match self
            .store
            .append(&self.key, &self.batch, self.producer_sequence.as_ref())
            .await
        {
            Ok(appended) => appended,
            Err(error) => {
                let error = at(&self.key)(error);
                return Err(self.stopped(error.code, &error.message));
            }
        };
        count(self.metrics.ingest(Way::Ndjson), &self.batch, appended);
        let sent = self.batch.len();
        let room = MAX_IDS - self.summary.ids.len();
        self.summary.ids.extend(appended.ids(sent).take(room));
        self.summary.last_id = appended.ids(sent).last().or(self.summary.last_id);
        self.summary.num_events += (sent - appended.duplicates) as u64;
        if let (Some(producer_sequence), Some(duplicates)) = (
            &mut self.producer_sequence,
            &mut self.summary.num_duplicates,
        ) {
            producer_sequence.sequence += sent as u64;
            *duplicates += appended.duplicates as u64;
        }
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }

    fn stopped(&self, code: ErrorCode, why: &str) -> ApiError {
        let written = self.summary.num_events;
        ApiError::new(
            code,
            format!("{why}; {written} events of this upload were written before"),
        )
    }
}
