//! What a stream holds: keys, ids, events on their way in ([`NewEvent`]) and entries on their way
//! out ([`Entry`]).
//!
//! Every type here is valid by construction: whoever holds one need not check it again.

mod event;
mod filter;
mod generation;
mod id;
mod key;
mod missed;
mod position;
mod producer;
mod shared_position;
mod start_position;
mod status;

pub use self::{
    event::{BROKER_NAMES, Entry, InvalidEvent, MAX_NAME_BYTES, NewEvent, RESERVED_NAMES},
    filter::{EventFilter, InvalidFilter},
    generation::Generation,
    id::{EventId, InvalidEventId},
    key::{InvalidKey, MAX_KEY_BYTES, StreamKey},
    missed::Missed,
    position::Position,
    producer::{
        InvalidProducer, MAX_PRODUCER_BYTES, MAX_PRODUCERS, MAX_SEQUENCE, Producer,
        ProducerSequence,
    },
    shared_position::SharedPosition,
    start_position::{InvalidStartPosition, StartPosition},
    status::{Finish, Status},
};
