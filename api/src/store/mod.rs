//! Where streams live: the contract that every store keeps, and the stores.
//!
//! [`memory`] reads as the specification. [`redis`] keeps the same promises on Redis Streams. One
//! test suite runs over both.

mod contract;
mod create;
mod deadlines;
mod error;
mod fault;
pub mod memory;
mod merge;
mod page;
mod presence;
pub mod quota;
pub mod redis;
mod resume;
mod signals;
mod tail;
mod update;
mod watch;

pub use self::{
    contract::{ConnectionCounts, Introspect, Presence, SharedStore, Store, StreamStore},
    create::{
        CreateOutcome, Created, DEFAULT_STOP_GRACE, IfTaken, InvalidRequestId, NewStream,
        REQUEST_ID_TTL, RequestId,
    },
    deadlines::{Renewed, Swept},
    error::{CrossSlot, StoreError},
    fault::{Right, StoreFault},
    page::{Appended, PAGE_BYTES, PAGE_ENTRIES, Page, StreamInfo},
    presence::{PRESENCE_TTL, PresenceOutcome, PresenceUpdate},
    signals::{SIGNAL_PAGE_BYTES, SignalPage},
    tail::TailSet,
    update::{Batch, StreamUpdate},
    watch::StreamWatch,
};
