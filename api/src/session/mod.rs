//! One connected subscriber: admission, limits, positions, liveness, and the loop that delivers.

mod address;
mod admission;
mod awaited;
mod delivery;
mod limits;
mod liveness;
mod membership;
mod metadata;
mod registry;
mod stream;
mod subscription;

pub use self::{
    admission::Admission,
    awaited::Appearance,
    delivery::{CloseReason, Session, Step, Timeouts},
    metadata::{ClientMetadata, InvalidSessionId, SessionId, SessionInfo},
    registry::{AdmissionRequest, LimitReached, Limits, Registry},
    stream::SubscribedStream,
    subscription::Subscription,
};
