//! Keys of streams that one connection can follow. In exclusive delivery on a Cluster they must
//! share one slot.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::Kind;

/// The bucket of a key, which determines its slot, as in `store/redis/keys.rs`.
pub(crate) fn bucket(key: &str) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(key.as_bytes());
    hasher.finish() % 256
}

/// Keys that begin with these names. A suffix is added only where the slot requires it.
pub(crate) fn together<const N: usize>(kind: Kind, names: [&str; N]) -> [String; N] {
    let fits = |key: &String| kind != Kind::ExclusiveCluster || bucket(key) == bucket(names[0]);
    names.map(|name| {
        let others = (0..).map(|n| format!("{name}-{n}"));
        std::iter::once(name.to_owned())
            .chain(others)
            .find(fits)
            .expect("one in 256")
    })
}
