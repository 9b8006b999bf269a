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

/// The Redis keys of one stream.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) events: String,
    pub(super) meta: String,
    pub(super) index: String,
    pub(super) live: String,
    pub(super) notify: String,
    pub(super) request: String,
    pub(super) signals: String,
    pub(super) deadlines: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, key: &StreamKey) -> Self {
        // FNV-1a is the same in all versions and on all machines. The standard hasher is not.
        let mut hasher = FnvHasher::default();
        hasher.write(key.as_str().as_bytes());
        let bucket = hasher.finish() % BUCKETS;
        Self {
            events: format!("{prefix}{{{bucket}}}:events:{key}"),
            meta: format!("{prefix}{{{bucket}}}:meta:{key}"),
            index: format!("{prefix}{{{bucket}}}:index"),
            live: format!("{prefix}{{{bucket}}}:live:{key}"),
            notify: format!("{prefix}{{{bucket}}}:notify:{key}"),
            request: format!("{prefix}{{{bucket}}}:request:{key}"),
            signals: format!("{prefix}{{{bucket}}}:signals:{key}"),
            deadlines: format!("{prefix}{{{bucket}}}:deadlines"),
        }
    }
}

impl Keys {
    /// The keys of `finish.lua`.
    pub(super) fn of_finish(&self) -> [&str; 7] {
        [
            &self.events,
            &self.meta,
            &self.index,
            &self.live,
            &self.notify,
            &self.signals,
            &self.deadlines,
        ]
    }
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
    let trial = |bucket: u64| {
        let name = |kind: &str| format!("{prefix}{{{bucket}}}:ready:{node:016x}:{kind}");
        Keys {
            events: name("events"),
            meta: name("meta"),
            index: name("index"),
            live: name("live"),
            notify: name("notify"),
            request: name("request"),
            signals: name("signals"),
            deadlines: name("deadlines"),
        }
    };
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
