//! Session outputs as JSON objects, for WebSocket, NDJSON and polls.

use crate::{
    codec::json,
    session::{Output, Subscription},
    store::{Batch, StreamUpdate},
    stream::{Entry, StreamKey},
};

/// The JSON objects of an output. With `is_keyed` each names its stream.
pub(super) fn objects(subscription: &Subscription, output: &Output, is_keyed: bool) -> Vec<String> {
    let stream = |index: &usize| subscription.streams().get(*index);
    match output {
        Output::Update(index, StreamUpdate::Events(batch)) => stream(index)
            .map(|stream| entries(subscription, &stream.key, batch, is_keyed))
            .unwrap_or_default(),
        Output::Update(index, StreamUpdate::Deleted) => stream(index)
            .map(|stream| json::deleted(&stream.key, stream.deleted_after()))
            .into_iter()
            .collect(),
        Output::Positions(indexes) => indexes
            .iter()
            .filter_map(stream)
            .filter_map(|stream| {
                let key = is_keyed.then_some(&stream.key);
                Some(json::position(key, stream.position().id()?))
            })
            .collect(),
        Output::CaughtUp | Output::Heartbeat | Output::Close(_) => Vec::new(),
    }
}

fn entries(
    subscription: &Subscription,
    key: &StreamKey,
    batch: &Batch,
    is_keyed: bool,
) -> Vec<String> {
    let key = is_keyed.then_some(key);
    let missed = batch.missed.as_ref();
    let missed = missed.map(|missed| json::missed(key, missed));
    let wanted = batch
        .counted()
        .filter(|(entry, _)| subscription.wants(&entry.name));
    let last = batch.last_event();
    let status = |entry: &Entry| {
        let (_, status) = last.filter(|(last, _)| last.id == entry.id)?;
        Some(status)
    };
    missed
        .into_iter()
        .chain(wanted.map(|(entry, count)| json::entry(key, entry, count, status(entry))))
        .collect()
}
