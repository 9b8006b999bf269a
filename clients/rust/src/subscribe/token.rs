//! Where tokens come from.

use std::fmt;

use futures::future::{BoxFuture, FutureExt, TryFutureExt};

use crate::{Error, error::BoxError};

type GetToken = Box<dyn Fn() -> BoxFuture<'static, Result<String, Error>> + Send + Sync>;

/// A token that opens streams, or a function that gets one.
pub struct Token(TokenSource);

enum TokenSource {
    Text(String),
    Function(GetToken),
}

impl Token {
    /// A function that gets a token, for example from a backend. The subscription calls it for the
    /// first connection, and again when the broker no longer accepts the token.
    pub fn from_fn<F, Fut, E>(get: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self(TokenSource::Function(Box::new(move || {
            get().map_err(|error| Error::Token(error.into())).boxed()
        })))
    }

    /// Whether there is a function that gets a new token.
    pub(super) fn is_renewable(&self) -> bool {
        matches!(self.0, TokenSource::Function(_))
    }

    /// The token, or a new one from the function.
    pub(super) async fn get(&self) -> Result<String, Error> {
        match &self.0 {
            TokenSource::Text(token) => Ok(token.clone()),
            TokenSource::Function(get) => get().await,
        }
    }
}

impl<T: Into<String>> From<T> for Token {
    fn from(token: T) -> Self {
        Self(TokenSource::Text(token.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}
