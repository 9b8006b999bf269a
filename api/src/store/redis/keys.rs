//! Where a stream lies in Redis. Nothing outside the prefix is ever read, written or listed.
//!
//! ```text
//! {prefix}{b}:events:KEY   the Redis stream of its events          b: the key's bucket, 0 to 255, in braces
//! {prefix}{b}:meta:KEY     hash: status, next number, times, birth
//! {prefix}{b}:index        sorted set of the bucket's active streams
//! {prefix}{b}:live:KEY     channel on which its batches are published; sharded on a Cluster
//! {prefix}{b}:ready:NODE:… what a node writes, and deletes at once, to see whether it can
//! ```
//!
//! The bucket is the [hash
//! tag](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags): a
//! stream *and its place in the index* share a Cluster slot, so that one script changes both. With
//! the key itself as tag, the index would be on another slot, and could only be kept by several
//! commands, between which streams get lost.

use std::hash::Hasher;

use fnv::FnvHasher;

use crate::stream::StreamKey;

/// Buckets of the index: enough to spread over a Cluster, few enough to ask all at once. Part of
/// the layout: a node that counts otherwise finds nothing.
const BUCKETS: u64 = 256;

/// The Redis keys of one stream.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) events: String,
    pub(super) meta: String,
    pub(super) index: String,
    pub(super) live: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, key: &StreamKey) -> Self {
        // FNV-1a: stable over versions and machines, unlike the standard library's hasher.
        let mut hasher = FnvHasher::default();
        hasher.write(key.as_str().as_bytes());
        let bucket = hasher.finish() % BUCKETS;
        Self {
            events: format!("{prefix}{{{bucket}}}:events:{key}"),
            meta: format!("{prefix}{{{bucket}}}:meta:{key}"),
            index: format!("{prefix}{{{bucket}}}:index"),
            live: format!("{prefix}{{{bucket}}}:live:{key}"),
        }
    }
}

/// Channels by which a node hears itself where they are sharded: enough for some on each shard,
/// most likely.
const SHARDED_PROBES: u64 = 16;

/// The channels by which a node hears itself: on a single server one, on a Cluster, where channels
/// are sharded, one for some of the buckets.
pub(super) fn probes(prefix: &str, node: u64, sharded: bool) -> Vec<String> {
    if sharded {
        (0..SHARDED_PROBES)
            .map(|bucket| format!("{prefix}{{{bucket}}}:probe:{node:016x}"))
            .collect()
    } else {
        vec![format!("{prefix}probe:{node:016x}")]
    }
}

/// Names of a node's own, of the form of a stream's, on which it tries whether Redis can be
/// written: on a single server one set, on a Cluster some, which most likely are on all shards. No
/// stream has them, as theirs begin otherwise.
pub(super) fn trials(prefix: &str, node: u64, sharded: bool) -> Vec<Keys> {
    let trial = |bucket: u64| {
        let name = |kind: &str| format!("{prefix}{{{bucket}}}:ready:{node:016x}:{kind}");
        Keys {
            events: name("events"),
            meta: name("meta"),
            index: name("index"),
            live: name("live"),
        }
    };
    (0..if sharded { SHARDED_PROBES } else { 1 })
        .map(trial)
        .collect()
}

/// The index keys of all buckets.
pub(super) fn indexes(prefix: &str) -> impl Iterator<Item = String> {
    (0..BUCKETS).map(move |bucket| format!("{prefix}{{{bucket}}}:index"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_stream_and_its_index_share_a_hash_tag_whatever_the_key() {
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
    fn the_layout_does_not_move_between_versions() {
        assert_eq!(
            Keys::new("tinistreamer:", &"chat-1".parse().unwrap()).events,
            "tinistreamer:{121}:events:chat-1"
        );
    }
}
