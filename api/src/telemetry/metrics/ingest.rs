//! The metrics of events that publishers send.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::{Registry, Unit},
};

use super::labels::Way;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWay {
    way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    way: Way,
    code: &'static str,
}

/// The metrics of events that publishers send in one way.
#[derive(Debug)]
pub struct IngestMetrics {
    way: Way,
    events: Counter,
    bytes: Counter,
    duplicates: Counter,
    refused: Family<OfCode, Counter>,
}

impl IngestMetrics {
    /// Registers the metrics of each way.
    pub(super) fn register(registry: &mut Registry) -> [Self; 3] {
        let mut counter = |name: &str, help: &str| {
            let family = Family::<OfWay, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let events = counter("ingested_events", "Events written into streams");
        let duplicates = counter(
            "duplicate_events",
            "Events that a producer sent again, and the stream already had",
        );
        let bytes = Family::<OfWay, Counter>::default();
        registry.register_with_unit(
            "ingested",
            "Bytes of names and data of the written events",
            Unit::Bytes,
            bytes.clone(),
        );
        let refused = Family::<OfCode, Counter>::default();
        registry.register(
            "refused_events",
            "Lines, messages and batches that the broker refused, by error code",
            refused.clone(),
        );
        [Way::Batch, Way::Ndjson, Way::WebSocket].map(|way| {
            let of = OfWay { way };
            Self {
                way,
                events: events.get_or_create_owned(&of),
                bytes: bytes.get_or_create_owned(&of),
                duplicates: duplicates.get_or_create_owned(&of),
                refused: refused.clone(),
            }
        })
    }

    /// Counts a batch: events written, their bytes, and events that the stream had already.
    pub fn write(&self, events: usize, bytes: usize, duplicates: usize) {
        self.events.inc_by(events as u64);
        self.bytes.inc_by(bytes as u64);
        self.duplicates.inc_by(duplicates as u64);
    }

    /// Counts input that the broker refused with this error code.
    pub fn refuse(&self, code: &'static str) {
        self.refused
            .get_or_create(&OfCode {
                way: self.way,
                code,
            })
            .inc();
    }

    /// Events written since the start.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.get()
    }

    /// Bytes written since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}
