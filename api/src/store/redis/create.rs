//! Creates streams.

use std::time::Duration;

use super::{reader::RedisReader, replies, scripts::millis};
use crate::{
    store::{
        CreateOutcome, Created, DEFAULT_STOP_GRACE, NewStream, REQUEST_ID_TTL, StoreError,
        StreamInfo,
    },
    stream::{Deadlines, EventId, Generation, Status, StreamKey},
    telemetry::metrics::Operation,
};

/// As `StreamStore::create` has it.
pub(super) async fn create(
    reader: &RedisReader,
    key: &StreamKey,
    new: &NewStream,
) -> Result<Created, StoreError> {
    let (keys, script) = (reader.keys(key), &reader.scripts.create);
    let generation = Generation::fresh()?;
    let names = [
        &*keys.events,
        &keys.meta,
        &keys.index,
        &keys.live,
        &keys.request(),
        &keys.notify(),
        &keys.signals(),
        &keys.deadlines(),
    ];
    let mut call = script.call(&names, 512);
    call.arg(key.as_str())
        .arg(generation.to_string())
        .arg(millis(new.ttl))
        .arg(new.max_events)
        .arg(new.if_exists.as_str())
        .arg(new.if_finished.as_str())
        .arg(grace(new))
        .arg(millis(new.promise.lease))
        .arg(millis(new.promise.stall));
    if let Some(request_id) = &new.request_id {
        call.arg(request_id.as_str()).arg(millis(REQUEST_ID_TTL));
    }
    let answer = reader.run(Operation::Create, script, &call).await?;
    let created_ms = match replies::created(answer)? {
        replies::Created::New { ms } => ms,
        replies::Created::Taken(created) => return Ok(*created),
    };
    let start = EventId {
        ms: created_ms,
        n: 0,
    };
    Ok(Created {
        info: StreamInfo {
            generation,
            status: Status::Active,
            length: 1,
            ttl: new.ttl,
            first: start,
            last: start,
            created_ms,
            stop_requested_ms: None,
            deadlines: first_deadlines(new, created_ms),
        },
        outcome: CreateOutcome::New,
    })
}

/// The grace of a stream as `create.lua` takes it: the default need not be stored.
fn grace(new: &NewStream) -> String {
    if new.stop_grace == DEFAULT_STOP_GRACE {
        String::new()
    } else {
        millis(new.stop_grace).to_string()
    }
}

/// The deadlines of a stream that was just created.
fn first_deadlines(new: &NewStream, created_ms: u64) -> Deadlines {
    let some = |period: Duration| Some(period).filter(|period| !period.is_zero());
    let after = |period: Duration| created_ms + millis(period);
    let (lease, stall) = (some(new.promise.lease), some(new.promise.stall));
    Deadlines {
        lease,
        lease_expires_ms: lease.map(after),
        stall_expires_ms: stall.map(after),
    }
}
