//! Where a subscription gets its URL and its tokens from.

use std::fmt;

use futures::future::{BoxFuture, FutureExt};
use serde::Deserialize;

use crate::{Error, error::BoxError, types::Access};

type GetAccess = Box<dyn Fn() -> BoxFuture<'static, Result<StreamAccess, Error>> + Send + Sync>;

/// The URL at which a stream can be followed, and a token that opens it.
///
/// It is made from what [`create_stream`](crate::Client::create_stream) and
/// [`issue_token`](crate::Client::issue_token) return, or from the JSON `{"sse_url", "token"}` of a
/// backend. Other members are ignored.
#[derive(Clone, Deserialize)]
pub struct StreamAccess {
    #[serde(rename = "sse_url")]
    pub(super) url: String,
    pub(super) token: String,
}

impl StreamAccess {
    /// The client URL of a stream, as for [`subscribe`](crate::subscribe()), and a token.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
        }
    }
}

impl From<Access> for StreamAccess {
    fn from(access: Access) -> Self {
        Self::new(access.sse_url, access.token)
    }
}

impl From<&Access> for StreamAccess {
    fn from(access: &Access) -> Self {
        Self::new(&*access.sse_url, &*access.token)
    }
}

impl fmt::Debug for StreamAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamAccess")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// An access, or a function that gets one.
pub struct AccessSource(AccessKind);

enum AccessKind {
    Value(StreamAccess),
    Function(GetAccess),
}

impl AccessSource {
    /// A function that gets an access, for example from a backend. The subscription calls it for
    /// the first connection, and again when the broker no longer accepts the token. Of a later
    /// access it uses the token only.
    pub fn from_fn<F, Fut, A, E>(get: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Into<StreamAccess>,
        E: Into<BoxError>,
    {
        Self(AccessKind::Function(Box::new(move || {
            let access = get();
            async move {
                match access.await {
                    Ok(access) => Ok(access.into()),
                    Err(error) => Err(Error::Token(error.into())),
                }
            }
            .boxed()
        })))
    }

    /// The URL, if it is known without a call of the function.
    pub(super) fn known_url(&self) -> Option<&str> {
        match &self.0 {
            AccessKind::Value(access) => Some(&access.url),
            AccessKind::Function(_) => None,
        }
    }

    /// Whether there is a function that gets a new access.
    pub(super) fn is_renewable(&self) -> bool {
        matches!(self.0, AccessKind::Function(_))
    }

    /// The access, or a new one from the function.
    pub(super) async fn get(&self) -> Result<StreamAccess, Error> {
        match &self.0 {
            AccessKind::Value(access) => Ok(access.clone()),
            AccessKind::Function(get) => get().await,
        }
    }
}

impl<A: Into<StreamAccess>> From<A> for AccessSource {
    fn from(access: A) -> Self {
        Self(AccessKind::Value(access.into()))
    }
}

impl fmt::Debug for AccessSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessSource").finish_non_exhaustive()
    }
}
