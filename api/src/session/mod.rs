//! One connected subscriber: its admission, its subscription, its liveness, and the loop that
//! delivers to its connection.

mod address;
mod admission;
mod awaited;
mod delivery;
mod hooked;
mod joining;
mod limits;
mod liveness;
mod membership;
mod metadata;
mod outage;
mod output;
mod registry;
mod rollup;
mod scripted;
mod stream;
mod subscription;

pub use self::{
    admission::Admission,
    awaited::Appearance,
    delivery::Session,
    limits::{LimitReached, Limits},
    liveness::Timeouts,
    metadata::{ClientMetadata, InvalidSessionId, SessionId, SessionInfo},
    output::{CloseReason, Output},
    registry::{AdmissionRequest, Registry},
    rollup::{InvalidRollup, MAX_RULES, Rollup},
    scripted::{ScriptFailed, Scripted, UpdateError},
    stream::SubscribedStream,
    subscription::{Outcome, Subscription},
};
