//! A broker for the module `broker`: streams in memory. `api/tests/scripts` tests what the module
//! does.

use std::{sync::Arc, time::Duration};

use mlua::Lua;
use rocket::config::Config;
use tokio::runtime::Runtime;

use super::{ALL, lua};
use crate::{
    config::Settings,
    presence::SubscriberCounts,
    script::{BrokerAccess, modules::install_broker},
    store::{NewStream, SharedStore, StreamStore, memory::MemoryStore},
    telemetry::metrics::{Metrics, SharedMetrics},
};

pub(super) struct Broker {
    access: BrokerAccess,
    /// The work of the broker runs there.
    _runtime: Runtime,
}

impl Broker {
    /// A broker with active streams at these keys.
    pub(super) fn new(keys: &[&str]) -> Self {
        let runtime = Runtime::new().unwrap();
        let secret = "0".repeat(64);
        let set = [("API_KEY", "not-needed"), ("SECRET_KEY", &*secret)];
        let set = set.map(|(name, value)| (format!("STREAMER_{name}"), value.to_owned()));
        let settings = Settings::load(&Config::figment().select("release"), set).unwrap();
        let metrics = Metrics::new(None, settings.max_clients);
        let store = MemoryStore::new(SharedMetrics::clone(&metrics));
        for key in keys {
            let new = NewStream::new(Duration::from_secs(60), 100);
            runtime
                .block_on(store.create(&key.parse().unwrap(), &new))
                .unwrap();
        }
        let store: SharedStore = Arc::new(store);
        let counts = SubscriberCounts::shared(metrics.streams.followed.clone());
        let _inside = runtime.enter();
        let access = BrokerAccess::new(&settings, store, counts, metrics, None);
        Self {
            access,
            _runtime: runtime,
        }
    }

    /// A state with all modules.
    pub(super) fn lua(&self) -> Lua {
        let lua = lua(&ALL);
        install_broker(&lua, &self.access).unwrap();
        lua
    }
}
