//! The signals of a stream in Redis.

use std::time::Duration;

use deadpool_redis::redis::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    reader::RedisReader,
    replies::{self, Stored, unexpected},
    scripts::{expected, millis},
};
use crate::{
    store::{DEFAULT_STOP_GRACE, SIGNAL_PAGE_BYTES, SignalPage, StoreError},
    stream::{Generation, MAX_SIGNALS, MAX_SIGNALS_BYTES, NewSignal, Signal, SignalId, StreamKey},
    telemetry::metrics::Operation,
};

/// A signal as the hash has it.
#[derive(Serialize, Deserialize)]
struct StoredSignal<'a> {
    name: &'a str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// As `StreamStore::signal` has it.
pub(super) async fn store(
    reader: &RedisReader,
    key: &StreamKey,
    generation: Option<Generation>,
    new: &NewSignal,
) -> Result<Stored<u64>, StoreError> {
    let (keys, script) = (reader.keys(key), &reader.scripts.signal);
    let data = new.data.as_deref().map(serde_json::from_str).transpose();
    let stored = data.and_then(|data| {
        serde_json::to_string(&StoredSignal {
            name: new.name.as_str(),
            data,
            id: new.id.as_ref().map(|id| id.as_str().to_owned()),
            by: new.by.as_deref().map(str::to_owned),
        })
    });
    let stored = stored.map_err(|_| StoreError::Unexpected("a signal whose data is no JSON"))?;
    let names = [
        &*keys.meta,
        &keys.signals(),
        &keys.notify(),
        &keys.deadlines(),
        &keys.events,
        &keys.index,
    ];
    let mut call = script.call(&names, 512 + stored.len());
    call.arg(key.as_str())
        .arg(expected(generation))
        .arg(new.name.as_str())
        .arg(stored)
        .arg(new.weight())
        .arg(new.by.as_deref().unwrap_or_default())
        .arg(MAX_SIGNALS)
        .arg(MAX_SIGNALS_BYTES)
        .arg(new.max_of_sender())
        .arg(millis(DEFAULT_STOP_GRACE));
    if let Some(id) = &new.id {
        call.arg(id.as_str());
    }
    let fields = replies::written(reader.run(Operation::Signal, script, &call).await?)?;
    match fields.as_slice() {
        [seq, problem @ ..] if problem.len() < 2 => Ok(Stored {
            value: replies::number(seq)?,
            problem: replies::problem(problem)?,
        }),
        [] => Err(StoreError::TooManySignals),
        _ => unexpected("an answer of another length"),
    }
}

/// As `StreamStore::signals` has it.
pub(super) async fn read(
    reader: &RedisReader,
    key: &StreamKey,
    after: u64,
) -> Result<SignalPage, StoreError> {
    let (keys, script) = (reader.keys(key), &reader.scripts.signals);
    let mut call = script.call(&[&*keys.meta, &keys.signals()], 256);
    call.arg(after).arg(SIGNAL_PAGE_BYTES);
    let answer = reader
        .run(Operation::Signals, script, &call)
        .await
        .map_err(|error| reader.ignore_wrong_type(&keys.meta, error))?;
    let Some(fields) = replies::optional_array(answer)? else {
        return Err(StoreError::NotFound);
    };
    match <[Value; 4]>::try_from(fields) {
        Ok([generation, status, ttl, Value::Array(signals)]) => Ok(SignalPage {
            generation: replies::generation(&generation)?,
            status: replies::status(&status)?,
            ttl: Duration::from_millis(replies::number(&ttl).unwrap_or(0)),
            signals: signals.chunks(2).map(signal).collect::<Result<_, _>>()?,
        }),
        _ => unexpected("signals of another shape"),
    }
}

fn signal(pair: &[Value]) -> Result<Signal, StoreError> {
    let [seq, Value::BulkString(text)] = pair else {
        return unexpected("a signal that is no pair");
    };
    let parsed = std::str::from_utf8(text).ok().and_then(|text| {
        let (ms, json) = text.split_once(' ')?;
        let stored: StoredSignal<'_> = serde_json::from_str(json).ok()?;
        let id = match stored.id {
            Some(id) => Some(id.parse::<SignalId>().ok()?),
            None => None,
        };
        Some((
            ms.parse().ok()?,
            NewSignal {
                name: stored.name.parse().ok()?,
                data: stored.data.map(|data| data.get().into()),
                id,
                by: stored.by.map(Into::into),
            },
        ))
    });
    match parsed {
        Some((ms, signal)) => Ok(Signal {
            seq: replies::number(seq)?,
            ms,
            signal,
        }),
        None => unexpected("not a signal"),
    }
}
