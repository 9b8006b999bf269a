//! `POST /event/add/json-stream`: an upload of NDJSON, which may go on for hours. The broker
//! appends lines as they arrive. It keeps a line and a batch in memory, however long the upload is.

use std::{io, pin::pin};

use futures::FutureExt;
use rocket::{
    Data, State,
    data::{ByteUnit, DataStream},
    post,
};
use tokio::io::AsyncReadExt;

use super::{
    append::{MAX_BYTES, MAX_EVENTS, count, replaced},
    documented::{EventsParams, StrictParams},
    ended::{End, ended},
    event_error_code::code_of,
    events_query::EventsQuery,
    lease::LeaseRenewer,
    refused_upload::RefusedUpload,
    unknown_members::MemberCheck,
    upload_summary::UploadSummary,
};
use crate::{
    bounded::bounded,
    codec::{
        json::UncheckedEvent,
        ndjson::{Line, Lines},
    },
    http::{
        body::PlainBody,
        buffered_response::BufferedResponse,
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{Unauthorized, UnsupportedMediaType},
        guards::ApiKeyHolder,
        hooks::{HookRefusal, PublishHook},
        query::QueryStream,
        signals::{
            producer_limit::{ProducerLimit, ProducerPermit},
            query::UploadSignals,
        },
        state::AppState,
        store_error::at,
    },
    lifecycle::Lifecycle,
    store::{SharedStore, StreamInfo},
    stream::{NewEvent, ProducerSequence, StreamKey},
    telemetry::metrics::{SharedMetrics, Way},
};

/// The most ids in the response.
const MAX_IDS: usize = 10_000;

/// The most line errors in the response.
const MAX_ERRORS: usize = 100;

/// The most bytes of a line error: it may quote the line.
const MAX_ERROR_BYTES: usize = 512;

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;

/// Writes newline-delimited events as they arrive, until the upload ends.
#[utoipa::path(
    operation_id = "upload_events",
    context_path = "/api",
    tag = "ingestion",
    security(("api_key" = [])),
    params(
        EventsParams,
        StrictParams,
        (
            "signals" = Option<String>,
            Query,
            description = "`stop`: the upload ends with `stop-requested` when a subscriber asks \
                the producer to stop"
        ),
    ),
    request_body(
        content = String,
        content_type = "application/x-ndjson",
        description = "One `{\"event\", \"data\"?}` per line, with any content type. The broker \
            skips blank lines",
        example = "{\"event\":\"token\",\"data\":\"Hello\"}\n"
    ),
    responses(
        (
            status = 200,
            description = "The upload ended. `errors` describes lines that are not events",
            body = UploadSummary
        ),
        (
            status = 400,
            description = "`missing-parameter`, `invalid-key`, `invalid-parameter`, \
                `invalid-producer`, `invalid-request`; `bad-request`: the upload broke off",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        (
            status = 404,
            description = "`no-active-stream`: no active stream is at the key, or it ended \
                meanwhile. The message says how many events were written",
            body = ErrorBody<'static>
        ),
        (
            status = 409,
            description = "`sequence-gap`: events of the producer are missing before these. \
                `stop-requested`: a subscriber asked the producer to stop. The messages of both \
                say how many events were written. `stale-generation`",
            body = ErrorBody<'static>
        ),
        UnsupportedMediaType,
        (
            status = 429,
            description = "`too-many-producers`: only with `signals`. Too many producers wait for \
                signals on this node (`STREAMER_MAX_PRODUCERS`)",
            body = ErrorBody<'static>
        ),
        (
            status = 503,
            description = "`store-unavailable`, `shutting-down`. The message says how many events \
                were written",
            body = ErrorBody<'static>
        ),
    )
)]
#[expect(clippy::too_many_arguments, reason = "each is a guard of the route")]
#[post("/event/add/json-stream", data = "<data>")]
pub async fn add<'r>(
    _caller: ApiKeyHolder,
    query: EventsQuery,
    signals: UploadSignals,
    limit: &State<ProducerLimit>,
    _plain: PlainBody,
    data: Data<'r>,
    state: AppState<'r>,
    hook: PublishHook,
) -> Result<BufferedResponse, RefusedUpload<'r>> {
    let EventsQuery {
        stream: QueryStream { key, generation },
        producer,
        strict,
    } = query;
    let mut body = data.open(ByteUnit::max_value());
    let UploadSignals(until_stop) = signals;
    let begin = async {
        let info = state.active_stream(&key, generation).await?;
        let permit = until_stop.then(|| limit.acquire()).transpose()?;
        Ok((info, permit))
    };
    let (info, permit) = match begin.await {
        Ok(begun) => begun,
        // The caller receives this error now, not after the first line, which may arrive much
        // later.
        Err(error) => return Err(RefusedUpload::new(error, body, state.lifecycle)),
    };
    let mut upload = Upload {
        lease: LeaseRenewer::new(state.store, &key, &info),
        store: SharedStore::clone(state.store),
        metrics: SharedMetrics::clone(state.metrics),
        key,
        info,
        batch: Vec::new(),
        batch_bytes: 0,
        max_line: state.settings.max_line,
        max_event: state.settings.max_event,
        summary: UploadSummary {
            num_duplicates: producer.as_ref().map(|_| 0),
            ..UploadSummary::default()
        },
        members: MemberCheck::new(strict),
        hook,
        producer_sequence: producer,
        until_stop,
        _permit: permit,
    };
    if let Err(error) = upload.run(&mut body, state.lifecycle).await {
        return Err(RefusedUpload::new(error, body, state.lifecycle));
    }
    upload.summary.ignored = upload.members.take_ignored();
    Ok(BufferedResponse::json(&upload.summary, None)?)
}

/// A running upload.
struct Upload {
    store: SharedStore,
    metrics: SharedMetrics,
    key: StreamKey,
    /// The upload belongs to this stream, and not to a later one at the key.
    info: StreamInfo,
    lease: LeaseRenewer,
    /// The sequence of the first event of the batch.
    producer_sequence: Option<ProducerSequence>,
    batch: Vec<NewEvent>,
    batch_bytes: usize,
    max_line: usize,
    max_event: usize,
    members: MemberCheck,
    hook: PublishHook,
    summary: UploadSummary,
    /// The upload ends when the producer is asked to stop.
    until_stop: bool,
    /// Of the limit of producers that wait for signals.
    _permit: Option<ProducerPermit>,
}

impl Upload {
    async fn run(
        &mut self,
        body: &mut DataStream<'_>,
        lifecycle: &Lifecycle,
    ) -> Result<(), ApiError> {
        let mut lines = Lines::new(self.max_line);
        let mut closing = pin!(lifecycle.closing());
        let (store, key) = (SharedStore::clone(&self.store), self.key.clone());
        let lease = self.lease.known_lease();
        let mut ended = pin!(ended(store, key, self.info.clone(), self.until_stop, lease));
        loop {
            while let Some(line) = lines.next_line() {
                self.take(line).await?;
                if self.batch.len() >= MAX_EVENTS || self.batch_bytes >= MAX_BYTES {
                    self.write().await?;
                }
            }
            if self.batch.is_empty() {
                self.lease.sign_of_life();
            }
            lines.buffer().reserve(READ_BYTES);
            // Events that arrive together go into one append: the broker appends when it would have
            // to wait for the next bytes.
            let read = if let Some(read) = body.read_buf(lines.buffer()).now_or_never() {
                read
            } else {
                self.write().await?;
                tokio::select! {
                    biased;
                    () = &mut closing => {
                        let why = "The broker is stopping";
                        return Err(self.stopped(ErrorCode::ShuttingDown, why));
                    }
                    end = &mut ended => return Err(self.ended(end)),
                    read = body.read_buf(lines.buffer()) => read,
                }
            };
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return self.broke_off(&error).await,
            }
        }
        if let Some(line) = lines.last_line() {
            self.take(line).await?;
        }
        self.write().await
    }

    /// Writes the complete lines. The last line may be incomplete, so the broker drops it.
    async fn broke_off(&mut self, error: &io::Error) -> Result<(), ApiError> {
        tracing::debug!(%error, "an upload broke off");
        self.write().await?;
        Err(self.stopped(
            ErrorCode::BadRequest,
            "The connection broke before the upload was complete",
        ))
    }

    /// Adds a line to the batch, or its problem to the summary. If the script fails, it writes the
    /// lines before this one, and returns the error.
    async fn take(&mut self, line: Line) -> Result<(), ApiError> {
        match line {
            Line::Text(number, text) => match UncheckedEvent::read(&text)
                .and_then(|event| self.members.check(event, self.max_event))
            {
                Ok(event) => return self.take_event(number, event).await,
                Err(problem) => self.refuse(number, code_of(&problem), &problem.to_string()),
            },
            Line::TooLong(number) => {
                let problem = format!("longer than {} bytes", self.max_line);
                self.refuse(number, ErrorCode::TooLarge, &problem);
            }
        }
        Ok(())
    }

    async fn take_event(&mut self, number: u64, event: NewEvent) -> Result<(), ApiError> {
        match self.hook.apply(&self.key, event, self.max_event).await {
            Ok(event) => {
                self.batch_bytes += event.weight();
                self.batch.push(event);
            }
            Err(HookRefusal::Refused(error)) => self.refuse(number, error.code, &error.message),
            Err(HookRefusal::Failed(error)) => {
                self.write().await?;
                return Err(self.stopped(error.code, &error.message));
            }
        }
        Ok(())
    }

    /// Adds the problem of a line to the summary.
    fn refuse(&mut self, number: u64, code: ErrorCode, problem: &str) {
        self.metrics.ingest(Way::Ndjson).refuse(code.as_str());
        self.summary.num_errors += 1;
        if self.summary.errors.len() < MAX_ERRORS {
            self.summary.errors.push(
                bounded(format!("line {number}: {problem}").into(), MAX_ERROR_BYTES).into_owned(),
            );
        }
    }

    /// Appends the batch.
    async fn write(&mut self) -> Result<(), ApiError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let appended = match self
            .store
            .append(
                &self.key,
                Some(self.info.generation),
                &self.batch,
                self.producer_sequence.as_ref(),
            )
            .await
        {
            Ok(appended) => appended,
            Err(error) => {
                let error = at(&self.key)(replaced(error));
                return Err(self
                    .stopped(error.code, &error.message)
                    .with_stream_status(error.stream_status));
            }
        };
        count(self.metrics.ingest(Way::Ndjson), &self.batch, appended);
        self.lease.wrote();
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

    /// The error of an upload whose stream ended, or whose producer is asked to stop.
    fn ended(&self, end: End) -> ApiError {
        match end {
            End::NotActive(error) => {
                let error = at(&self.key)(error);
                self.stopped(error.code, &error.message)
                    .with_stream_status(error.stream_status)
            }
            End::StopRequested => {
                let why = "A subscriber asked the producer to stop";
                self.stopped(ErrorCode::StopRequested, why)
            }
        }
    }

    /// The error of an upload that stops before its end.
    fn stopped(&self, code: ErrorCode, why: &str) -> ApiError {
        let written = self.summary.num_events;
        ApiError::new(
            code,
            format!("{why}; {written} events of this upload were written"),
        )
    }
}
