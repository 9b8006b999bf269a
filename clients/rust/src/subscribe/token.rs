//! Where tokens come from.

use std::fmt;

use futures::future::{BoxFuture, FutureExt, TryFutureExt};

use crate::{Error, error::BoxError};

type Make = Box<dyn Fn() -> BoxFuture<'static, Result<String, Error>> + Send + Sync>;

/// A client token, or a function that gets one.
pub struct Token(Source);

enum Source {
    Fixed(String),
    Made(Make),
}

impl Token {
    /// A function that gets a token, from a backend for example. It is called for the first
    /// connection, and again when a token is no longer good.
    pub fn from_fn<F, Fut, E>(get: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self(Source::Made(Box::new(move || {
            get().map_err(|error| Error::Token(error.into())).boxed()
        })))
    }

    /// Whether another can be had.
    pub(super) fn is_made(&self) -> bool {
        matches!(self.0, Source::Made(_))
    }

    /// A token; one more that is just made, if they are made.
    pub(super) async fn get(&self) -> Result<String, Error> {
        match &self.0 {
            Source::Fixed(token) => Ok(token.clone()),
            Source::Made(make) => make().await,
        }
    }
}

impl<T: Into<String>> From<T> for Token {
    fn from(token: T) -> Self {
        Self(Source::Fixed(token.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}
