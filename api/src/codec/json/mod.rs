//! JSON: parses events of publishers, and writes entries for subscribers.

mod entry;
mod event;
mod finish;
mod hooked;
mod object;
mod pointer;
mod text;

pub(super) use entry::MISSED_EVENTS;
pub use entry::{deleted, deleted_data, entry, missed, missed_data, position, stored_entry};
pub use event::{EventProblem, MAX_UNKNOWN, UncheckedEvent, event, stored_data};
pub use finish::{
    InvalidFinish, MAX_BY_BYTES, MAX_CODE, MAX_REASON_BYTES, cancelled, ended, failed,
};
pub use hooked::{InvalidMessage, checked_event, message_of};
pub use object::Object;
pub use pointer::{InvalidPointer, JsonPointer};
pub(crate) use text::compact;
pub use text::{text, time, without_bom};
