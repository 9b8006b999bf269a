//! The names of the broker's keys and channels in Redis. The broker reads, writes and lists nothing
//! outside the prefix.
//!
//! ```text
//! {prefix}{b}:events:KEY   the Redis stream of the events       b: the key's bucket, 0 to 255
//! {prefix}{b}:meta:KEY     hash: status, next number, times, generation (`birth`)
//! {prefix}{b}:index        sorted set of the bucket's active streams
//! {prefix}{b}:live:KEY     channel of the stream's batches; sharded on a Cluster
//! {prefix}{b}:notify:KEY   channel of the stream's end, replacement, signals; sharded on a Cluster
//! {prefix}{b}:signals:KEY  hash: the signals for the stream's producer, and their generation
//! {prefix}{b}:deadlines    sorted set: streams to look at, by time; see `finish.lua`
//! {prefix}sweeper          the node that looks for streams whose deadlines have passed
//! {prefix}{b}:request:KEY  hash: id of the request that created the stream, and the generation
//! {prefix}{b}:ready:NODE:… what a node writes and deletes at once, to learn whether it can
//! ```
//!
//! The braces around the bucket are part of the names. They make it the [hash tag]: a stream *and
//! its entry in the index* share a Cluster slot, so one script changes both. With the key as hash
//! tag the index would be on another slot. Only several commands could keep it then, and a stream
//! could get lost between them.
//!
//! [hash tag]: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags

use std::hash::Hasher;

use fnv::FnvHasher;

use crate::stream::StreamKey;

/// Buckets of the index: enough to spread over a Cluster, few enough to read all at once. The
/// number is part of the layout: a node with another number would not find the streams.
const BUCKETS: u64 = 256;

/// The Redis keys of one stream. Every append needs those that are fields. The others are made
/// when they are needed.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) events: String,
    pub(super) meta: String,
    pub(super) index: String,
    pub(super) live: String,
    /// Where the name of the kind stands in `events`.
    kind_at: usize,
}

impl Keys {
    pub(super) fn new(prefix: &str, key: &StreamKey) -> Self {
        // FNV-1a is the same in all versions and on all machines. The standard hasher is not.
        let mut hasher = FnvHasher::default();
        hasher.write(key.as_str().as_bytes());
        let bucket = hasher.finish() % BUCKETS;
        Self::between(&format!("{prefix}{{{bucket}}}:"), key.as_str())
    }

    /// Names that begin with this text. Those of a single stream end with a colon and the other
    /// text.
    fn between(before: &str, after: &str) -> Self {
        let name = |kind: &str| joined(before, kind, &[":", after]);
        Self {
            events: name(EVENTS),
            meta: name("meta"),
            index: joined(before, "index", &[]),
            live: name("live"),
            kind_at: before.len(),
        }
    }

    pub(super) fn notify(&self) -> String {
        self.named("notify")
    }

    pub(super) fn request(&self) -> String {
        self.named("request")
    }

    pub(super) fn signals(&self) -> String {
        self.named("signals")
    }

    /// The deadlines of all streams of the bucket.
    pub(super) fn deadlines(&self) -> String {
        joined(&self.events[..self.kind_at], "deadlines", &[])
    }

    /// The keys of `finish.lua`.
    pub(super) fn of_finish(&self) -> [String; 7] {
        [
            self.events.clone(),
            self.meta.clone(),
            self.index.clone(),
            self.live.clone(),
            self.notify(),
            self.signals(),
            self.deadlines(),
        ]
    }

    fn named(&self, kind: &str) -> String {
        let after = &self.events[self.kind_at + EVENTS.len()..];
        joined(&self.events[..self.kind_at], kind, &[after])
    }
}

/// The kind of key that holds the events.
const EVENTS: &str = "events";

/// One text, in one allocation: names are made for each append.
fn joined(before: &str, kind: &str, after: &[&str]) -> String {
    let rest: usize = after.iter().map(|text| text.len()).sum();
    let mut name = String::with_capacity(before.len() + kind.len() + rest);
    name.push_str(before);
    name.push_str(kind);
    name.extend(after.iter().copied());
    name
}

/// Buckets that a node tries on a Cluster: most likely enough for some on each shard.
const PROBED_BUCKETS: u64 = 16;

/// The channels to which a node sends probes, which it should receive itself. On a single server
/// one, on a Cluster one for each of some buckets.
pub(super) fn probes(prefix: &str, node: u64, sharded: bool) -> Vec<String> {
    if sharded {
        (0..PROBED_BUCKETS)
            .map(|bucket| format!("{prefix}{{{bucket}}}:probe:{node:016x}"))
            .collect()
    } else {
        vec![format!("{prefix}probe:{node:016x}")]
    }
}

/// Keys of this node, named like those of a stream, to which it writes to learn whether it can. On
/// a single server one set, on a Cluster one for each of some buckets. No stream has such names.
pub(super) fn trials(prefix: &str, node: u64, sharded: bool) -> Vec<Keys> {
    let trial =
        |bucket: u64| Keys::between(&format!("{prefix}{{{bucket}}}:ready:{node:016x}:"), "trial");
    (0..if sharded { PROBED_BUCKETS } else { 1 })
        .map(trial)
        .collect()
}

/// The keys of the deadlines of all buckets.
pub(super) fn deadlines(prefix: &str) -> impl Iterator<Item = String> {
    (0..BUCKETS).map(move |bucket| format!("{prefix}{{{bucket}}}:deadlines"))
}

/// The index keys of all buckets.
pub(super) fn indexes(prefix: &str) -> impl Iterator<Item = String> {
    (0..BUCKETS).map(move |bucket| format!("{prefix}{{{bucket}}}:index"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_stream_and_its_index_share_a_hash_tag() {
        for key in ["chat-1", "}", "{}", "a}b{c", "{17}", "Ω:events:x"] {
            let keys = Keys::new("p:", &key.parse().unwrap());
            let tag = |text: &str| {
                text.split_once('{')
                    .and_then(|(_, rest)| rest.split_once('}'))
                    .map(|(tag, _)| tag.to_owned())
            };
            assert!(tag(&keys.index).is_some_and(|tag| !tag.is_empty()));
            assert_eq!(
                (tag(&keys.events), tag(&keys.meta)),
                (tag(&keys.index), tag(&keys.index)),
                "{key}"
            );
            assert_eq!(keys.signals(), keys.events.replacen("events", "signals", 1));
            assert!(deadlines("p:").any(|deadlines| deadlines == keys.deadlines()));
            assert!(indexes("p:").any(|index| index == keys.index));
        }
    }

    #[test]
    fn the_layout_is_the_same_in_all_versions() {
        assert_eq!(
            Keys::new("tinistreamer:", &"chat-1".parse().unwrap()).events,
            "tinistreamer:{121}:events:chat-1"
        );
    }
}
