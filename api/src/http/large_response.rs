//! The limit of large responses: their number is bounded, because each takes much memory.

use std::{sync::Arc, time::Duration};

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::error::{ApiError, ErrorCode};

/// The most large responses at a time.
const MAX_RESPONSES: usize = 64;

/// How long a request waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A permit for one large response. Routes take one if their response grows with what the broker
/// stores.
pub struct LargeResponsePermit(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// The limit of large responses of the node. Rocket manages it.
#[derive(Debug)]
pub(super) struct LargeResponseLimit(Arc<Semaphore>);

impl Default for LargeResponseLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_RESPONSES)))
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for LargeResponsePermit {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Only a bug in `server.rs` can leave out the limit.
        let Some(LargeResponseLimit(limit)) = request.rocket().state() else {
            return ApiError::internal().refuse(request);
        };
        if let Ok(Ok(permit)) = timeout(PERMIT_TIMEOUT, Arc::clone(limit).acquire_owned()).await {
            return Outcome::Success(Self(permit));
        }
        let message =
            format!("The broker already sends {MAX_RESPONSES} large answers; try again later");
        ApiError::new(ErrorCode::TooManyClients, message).refuse(request)
    }
}
