//! Plain types of streams: keys, ids, events to write ([`NewEvent`]), stored entries ([`Entry`]).
//!
//! Every value of these types is valid: its constructor checks it, and no other code has to.

mod deadlines;
mod event;
mod filter;
mod finish;
mod generation;
mod id;
mod key;
mod missed;
mod position;
mod producer;
mod shared_position;
mod signal;
mod start_position;
mod status;

pub use self::{
    deadlines::{Deadlines, Promise, Renewal},
    event::{BROKER_NAMES, Entry, InvalidEvent, MAX_NAME_BYTES, NewEvent, RESERVED_NAMES},
    filter::{EventFilter, InvalidFilter},
    finish::{Finish, FinishKind},
    generation::{Generation, InvalidGeneration},
    id::{EventId, InvalidEventId},
    key::{InvalidKey, MAX_KEY_BYTES, StreamKey},
    missed::Missed,
    position::Position,
    producer::{
        InvalidProducer, MAX_PRODUCER_BYTES, MAX_PRODUCERS, MAX_SEQUENCE, Producer,
        ProducerSequence,
    },
    shared_position::SharedPosition,
    signal::{
        BY_API_KEY, InvalidSignalId, InvalidSignalName, MAX_SIGNAL_DATA, MAX_SIGNAL_ID,
        MAX_SIGNAL_NAME, MAX_SIGNALS, MAX_SIGNALS_BYTES, MAX_SIGNALS_PER_SUBJECT, NewSignal,
        Signal, SignalId, SignalName,
    },
    start_position::{InvalidStartPosition, StartPosition},
    status::Status,
};
