//! Watches on streams: a caller learns that somebody else may have finished or replaced a stream.

use std::{borrow::Borrow, collections::HashMap, future::pending, hash::Hash};

use tokio::sync::watch;

/// A watch on one stream. Dropping it ends the watch.
#[derive(Debug)]
pub struct StreamWatch(watch::Receiver<()>);

impl StreamWatch {
    /// Resolves when the stream may have been finished or replaced since the last call. The caller
    /// reads the store to learn what happened. Cancel safe.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The store was dropped, so no notification can come.
            pending::<()>().await;
        }
    }
}

/// The watches of a store, by the name of what is watched.
#[derive(Debug)]
pub(super) struct Watches<K>(HashMap<K, watch::Sender<()>>);

impl<K> Default for Watches<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Watches<K> {
    /// Adds a watch. Also returns whether it is the first one of this name.
    pub(super) fn add(&mut self, name: K) -> (StreamWatch, bool) {
        let mut is_first = false;
        let sender = self.0.entry(name).or_insert_with(|| {
            is_first = true;
            watch::Sender::default()
        });
        (StreamWatch(sender.subscribe()), is_first)
    }

    /// Notifies all watches of this name.
    pub(super) fn notify<Q>(&self, name: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(sender) = self.0.get(name) {
            sender.send_replace(());
        }
    }

    pub(super) fn contains<Q>(&self, name: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.contains_key(name)
    }

    /// Removes and returns the names whose watches have all been dropped.
    pub(super) fn take_unused(&mut self) -> Vec<K> {
        let unused = self.0.extract_if(|_, sender| sender.receiver_count() == 0);
        unused.map(|(name, _)| name).collect()
    }

    /// The names that are watched.
    pub(super) fn names(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
