//! Keys of streams that one connection can follow, also in exclusive delivery on a Cluster, where
//! they must be of one slot.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::Kind;

/// The bucket of a key, and so its slot, as `store/redis/keys.rs` has it.
pub(crate) fn bucket(key: &str) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(key.as_bytes());
    hasher.finish() % 256
}

/// Keys that begin with these names, and are these names but where that is not enough.
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
