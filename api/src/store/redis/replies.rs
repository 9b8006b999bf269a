//! Decodes the replies of Redis into the broker's types.
//!
//! By hand, which is ten times faster than the generic decoders of the client library. A reply that
//! the scripts would not give is an error, not a default.

use std::time::Duration;

use deadpool_redis::redis::Value;

use crate::{
    store::{self, Appended, CreateOutcome, StoreError, StreamInfo},
    stream::{Deadlines, Entry, EventId, Generation, Status},
};

type Decoded<T> = Result<T, StoreError>;

pub(super) fn unexpected<T>(what: &'static str) -> Decoded<T> {
    Err(StoreError::Unexpected(what))
}

/// A stream's state and some of its entries, as `snapshot.lua` returns them.
pub(super) struct Snapshot {
    pub(super) info: StreamInfo,
    pub(super) entries: Vec<Entry>,
}

/// The fields of a stream's `meta` that exclusive delivery reads with each batch.
pub(super) struct Head {
    pub(super) generation: Generation,
    pub(super) status: Status,
    pub(super) last: EventId,
}

/// The reply of `snapshot.lua`. None: there is no stream.
pub(super) fn snapshot(value: Value) -> Decoded<Option<Snapshot>> {
    let Some(fields) = optional_array(value)? else {
        return Ok(None);
    };
    let Ok(
        [
            generation,
            status,
            created_ms,
            last_ms,
            next,
            length,
            ttl,
            first,
            entries,
            signals,
            deadlines,
        ],
    ) = <[Value; 11]>::try_from(fields)
    else {
        return unexpected("a snapshot of another length");
    };
    let info = StreamInfo {
        generation: self::generation(&generation)?,
        status: self::status(&status)?,
        created_ms: number(&created_ms)?,
        last: last_id(&last_ms, &next)?,
        length: number(&length)?,
        // Never -1 (no expiry) or -2 (no key): every write sets an expiry, and the script has read
        // the key.
        ttl: Duration::from_millis(number(&ttl).unwrap_or(0)),
        first: id(&first)?,
        // 0: there are signals, and none is a stop.
        stop_requested_ms: match signals {
            Value::Nil => None,
            signals => Some(number(&signals)?).filter(|ms| *ms > 0),
        },
        deadlines: self::deadlines(deadlines)?,
    };
    Ok(Some(Snapshot {
        info,
        entries: self::entries(entries)?,
    }))
}

/// The deadlines of `snapshot.lua`.
fn deadlines(value: Value) -> Decoded<Deadlines> {
    let Some(fields) = optional_array(value)? else {
        return Ok(Deadlines::default());
    };
    let [lease, lease_at, stall_at] = fields.as_slice() else {
        return unexpected("deadlines of another length");
    };
    let optional = |value: &Value| match value {
        Value::Nil => Ok(None),
        value => number(value).map(Some),
    };
    Ok(Deadlines {
        lease: optional(lease)?.map(Duration::from_millis),
        lease_expires_ms: optional(lease_at)?,
        stall_expires_ms: optional(stall_at)?,
    })
}

/// The reply of `HMGET meta birth status last_ms next`. None: the stream no longer exists.
pub(super) fn head(value: Value) -> Decoded<Option<Head>> {
    let Some(fields) = optional_array(value)? else {
        return Ok(None);
    };
    match fields.as_slice() {
        [Value::Nil, ..] => Ok(None),
        [generation, status, last_ms, next] => Ok(Some(Head {
            generation: self::generation(generation)?,
            status: self::status(status)?,
            last: last_id(last_ms, next)?,
        })),
        _ => unexpected("a head of another length"),
    }
}

/// The result of `create.lua`.
pub(super) enum Created {
    /// A new stream, and the time of its first event.
    New {
        /// In milliseconds since the Unix epoch.
        ms: u64,
    },
    /// A stream that exists already.
    Taken(Box<store::Created>),
}

/// The reply of `create.lua`.
pub(super) fn created(value: Value) -> Decoded<Created> {
    let mut fields = match value {
        Value::Array(fields) => fields,
        ms => return Ok(Created::New { ms: number(&ms)? }),
    };
    if let [status] = fields.as_slice() {
        let status = self::status(status)?;
        return Err(StoreError::Exists { status });
    }
    let outcome = match fields.pop() {
        Some(Value::Int(1)) => CreateOutcome::Repeated,
        Some(Value::Int(0)) => CreateOutcome::Attached,
        _ => return unexpected("a stream that is neither repeated nor attached"),
    };
    match snapshot(Value::Array(fields))? {
        Some(Snapshot { info, .. }) => {
            Ok(Created::Taken(Box::new(store::Created { info, outcome })))
        }
        None => unexpected("no stream"),
    }
}

/// The array of a script that writes to an active stream. The script returns a text, or nil, where
/// it wrote nothing.
pub(super) fn written(value: Value) -> Decoded<Vec<Value>> {
    match value {
        Value::Array(fields) => Ok(fields),
        Value::Nil => Err(StoreError::NotActive { status: None }),
        Value::BulkString(text) if text == b"stale" => Err(StoreError::StaleGeneration),
        status => Err(StoreError::NotActive {
            status: Some(self::status(&status)?),
        }),
    }
}

/// The result of a script that has stored events.
pub(super) struct Stored<T> {
    pub(super) value: T,
    /// The error of Redis where the script could not publish the events or list the stream.
    pub(super) problem: Option<String>,
}

/// The reply of `append.lua`.
pub(super) fn appended(value: Value) -> Result<Stored<Appended>, StoreError> {
    let fields = written(value)?;
    match fields.as_slice() {
        [ms, n, duplicates, problem @ ..] if problem.len() < 2 => {
            let duplicates = usize::try_from(number(duplicates)?)
                .map_err(|_| StoreError::Unexpected("a number too large"))?;
            let value = Appended {
                first: EventId {
                    ms: number(ms)?,
                    n: number(n)?,
                },
                duplicates,
            };
            Ok(Stored {
                value,
                problem: self::problem(problem)?,
            })
        }
        [has] => Err(StoreError::SequenceGap { has: number(has)? }),
        [] => Err(StoreError::TooManyProducers),
        _ => unexpected("an answer of another length"),
    }
}

/// The reply of `finish.lua`.
pub(super) fn finished(value: Value) -> Result<Stored<EventId>, StoreError> {
    let fields = written(value)?;
    match fields.as_slice() {
        [ms, n, _status, problem @ ..] if problem.len() < 2 => Ok(Stored {
            value: EventId {
                ms: number(ms)?,
                n: number(n)?,
            },
            problem: self::problem(problem)?,
        }),
        _ => unexpected("an answer of another length"),
    }
}

pub(super) fn problem(item: &[Value]) -> Decoded<Option<String>> {
    item.first().cloned().map(text).transpose()
}

/// `{ms, n}` as scripts return it. None: there is no stream.
pub(super) fn optional_id(value: Value) -> Decoded<Option<EventId>> {
    let Some(fields) = optional_array(value)? else {
        return Ok(None);
    };
    match fields.as_slice() {
        [ms, n] => Ok(Some(EventId {
            ms: number(ms)?,
            n: number(n)?,
        })),
        _ => unexpected("an id of another length"),
    }
}

/// The reply of `XREAD`, events by stream: a list of pairs in RESP2, a map in RESP3, and nil when
/// nothing came in time.
pub(super) fn xread(value: Value) -> Decoded<Vec<(String, Vec<Entry>)>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Map(streams) => streams
            .into_iter()
            .map(|(key, events)| Ok((text(key)?, entries(events)?)))
            .collect(),
        Value::Array(streams) => {
            let stream = |pair: Value| match pair {
                Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                    Ok([key, events]) => Ok((text(key)?, entries(events)?)),
                    Err(_) => unexpected("a stream that is no pair"),
                },
                _ => unexpected("a stream that is no pair"),
            };
            streams.into_iter().map(stream).collect()
        }
        _ => unexpected("an XREAD without streams"),
    }
}

/// A number, which Redis returns as text or as an integer.
pub(super) fn number(value: &Value) -> Decoded<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).or_else(|_| unexpected("a negative number")),
        Value::BulkString(digits) => std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .map_or_else(|| unexpected("not a number"), Ok),
        _ => unexpected("not a number"),
    }
}

/// The members of a set, as text.
pub(super) fn texts(value: Value) -> Decoded<Vec<String>> {
    match value {
        Value::Array(items) => items.into_iter().map(text).collect(),
        _ => unexpected("not a list"),
    }
}

fn entries(value: Value) -> Decoded<Vec<Entry>> {
    match value {
        Value::Array(items) => items.into_iter().map(entry).collect(),
        _ => unexpected("events that are no list"),
    }
}

fn entry(value: Value) -> Decoded<Entry> {
    let Value::Array(pair) = value else {
        return unexpected("an event that is no pair");
    };
    let Ok([event_id, Value::Array(fields)]) = <[Value; 2]>::try_from(pair) else {
        return unexpected("an event that is no pair");
    };
    let id = id(&event_id)?;
    let mut fields = fields.into_iter();
    let (name, data) = match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(_), Some(name), None, None) => (text(name)?, None),
        (Some(_), Some(name), Some(_), Some(data)) => (text(name)?, Some(text(data)?.into())),
        _ => return unexpected("an event with other fields"),
    };
    Ok(Entry {
        id,
        name: name.into(),
        data,
    })
}

fn id(value: &Value) -> Decoded<EventId> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .map_or_else(|| unexpected("not an event id"), Ok),
        _ => unexpected("not an event id"),
    }
}

fn last_id(last_ms: &Value, next: &Value) -> Decoded<EventId> {
    match number(next)?.checked_sub(1) {
        Some(n) => Ok(EventId {
            ms: number(last_ms)?,
            n,
        }),
        None => unexpected("a stream without events"),
    }
}

fn text(value: Value) -> Decoded<String> {
    match value {
        Value::BulkString(bytes) => {
            String::from_utf8(bytes).or_else(|_| unexpected("text that is not UTF-8"))
        }
        _ => unexpected("not a text"),
    }
}

pub(super) fn generation(value: &Value) -> Decoded<Generation> {
    let mut bytes = [0; 16];
    match value {
        Value::BulkString(digits) if hex::decode_to_slice(digits, &mut bytes).is_ok() => {
            Ok(Generation(bytes))
        }
        _ => unexpected("not a generation"),
    }
}

pub(super) fn status(value: &Value) -> Decoded<Status> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .map_or_else(|| unexpected("not a status"), Ok),
        _ => unexpected("not a status"),
    }
}

pub(super) fn optional_array(value: Value) -> Decoded<Option<Vec<Value>>> {
    match value {
        Value::Nil => Ok(None),
        Value::Array(items) => Ok(Some(items)),
        _ => unexpected("neither a list nor nil"),
    }
}
