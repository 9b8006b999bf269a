//! Producers that renew what they have promised.

use std::time::Duration;

use deadpool_redis::redis::Value;

use super::{
    reader::RedisReader,
    replies::{number, unexpected, written},
    scripts::{expected, millis},
};
use crate::{
    store::{DEFAULT_STOP_GRACE, Renewed, StoreError},
    stream::{Deadlines, Generation, Renewal, StreamKey},
    telemetry::metrics::Operation,
};

/// As `StreamStore::renew` has it.
pub(super) async fn renew(
    reader: &RedisReader,
    key: &StreamKey,
    generation: Option<Generation>,
    renewal: Renewal,
) -> Result<Renewed, StoreError> {
    let (keys, script) = (reader.keys(key), &reader.scripts.renew);
    let names = [
        &*keys.meta,
        &keys.deadlines(),
        &keys.events,
        &keys.signals(),
        &keys.index,
        &keys.notify(),
    ];
    let mut call = script.call(&names, 512);
    call.arg(key.as_str())
        .arg(expected(generation))
        .arg(u8::from(renewal.stop_ack))
        .arg(millis(DEFAULT_STOP_GRACE))
        .arg(period(renewal.lease))
        .arg(period(renewal.stall));
    decoded(reader.run(Operation::Renew, script, &call).await?)
}

/// A period as the script takes it; empty for the one that the stream has.
fn period(period: Option<Duration>) -> String {
    period.map_or_else(String::new, |period| millis(period).to_string())
}

/// The reply of `renew.lua`.
fn decoded(value: Value) -> Result<Renewed, StoreError> {
    let fields = written(value)?;
    let [stop_at, lease_at, stall_at, lease, requested_at] = fields.as_slice() else {
        return unexpected("an answer of another length");
    };
    let above_zero = |value: &Value| -> Result<Option<u64>, StoreError> {
        Ok(Some(number(value)?).filter(|number| *number > 0))
    };
    Ok(Renewed {
        deadlines: Deadlines {
            lease: above_zero(lease)?.map(Duration::from_millis),
            lease_expires_ms: above_zero(lease_at)?,
            stall_expires_ms: above_zero(stall_at)?,
        },
        stop_expires_ms: above_zero(stop_at)?,
        stop_requested_ms: above_zero(requested_at)?,
    })
}
