//! The URL and the token in use, which a subscription shares with those who send signals for it.

use reqwest::Url;
use tokio::sync::Mutex;

use super::{access::AccessSource, request::parse_url, token::Token};
use crate::Error;

/// Where the tokens of a subscription come from.
#[derive(Debug)]
pub(super) enum CredentialSource {
    Token(Token),
    Access(AccessSource),
}

/// The credentials of a subscription: its URL, and the token in use.
pub(super) struct Credentials {
    source: CredentialSource,
    current: Mutex<Current>,
}

struct Current {
    url: Option<Url>,
    token: Option<String>,
}

/// A URL and a token to use now.
pub(super) struct Issued {
    pub(super) url: Url,
    pub(super) token: String,
    /// Whether the token was made by this call.
    pub(super) is_new: bool,
}

impl CredentialSource {
    /// The URL, if it is known without a call of the caller's function.
    pub(super) fn known_url(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::Access(access) => access.known_url(),
        }
    }
}

impl Credentials {
    /// Begins with this URL and this token, if they are known.
    pub(super) fn new(source: CredentialSource, url: Option<Url>, token: Option<String>) -> Self {
        Self {
            source,
            current: Mutex::new(Current { url, token }),
        }
    }

    /// Whether there is a function that gets a new token.
    pub(super) fn is_renewable(&self) -> bool {
        match &self.source {
            CredentialSource::Token(token) => token.is_renewable(),
            CredentialSource::Access(access) => access.is_renewable(),
        }
    }

    /// The URL, and the token in use or a new one. Callers that come meanwhile wait for that one.
    pub(super) async fn get(&self) -> Result<Issued, Error> {
        let mut current = self.current.lock().await;
        if let Current {
            url: Some(url),
            token: Some(token),
        } = &*current
        {
            return Ok(Issued {
                url: url.clone(),
                token: token.clone(),
                is_new: false,
            });
        }
        let (url, token) = match &self.source {
            CredentialSource::Token(token) => (None, token.get().await?),
            CredentialSource::Access(access) => {
                let access = access.get().await?;
                (Some(access.url), access.token)
            }
        };
        // The URL of a later access is ignored.
        let url = match (&current.url, url) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => parse_url(&url)?,
            (None, None) => return Err(Error::setup("there is no URL")),
        };
        *current = Current {
            url: Some(url.clone()),
            token: Some(token.clone()),
        };
        Ok(Issued {
            url,
            token,
            is_new: true,
        })
    }

    /// Forgets a token that the broker refuses, unless there is a newer one already.
    pub(super) async fn refused(&self, token: &str) {
        let mut current = self.current.lock().await;
        if current.token.as_deref() == Some(token) {
            current.token = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Credentials whose function counts its calls.
    fn counted(url: Option<&str>, token: Option<&str>) -> Credentials {
        let calls = AtomicUsize::new(0);
        let source = AccessSource::from_fn(move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                let (url, token) = (format!("http://h{call}/"), format!("t{call}"));
                Ok::<_, Infallible>(super::super::access::StreamAccess::new(url, token))
            }
        });
        let url = url.map(|url| Url::parse(url).unwrap());
        let token = token.map(str::to_owned);
        Credentials::new(CredentialSource::Access(source), url, token)
    }

    async fn get(credentials: &Credentials) -> (String, String, bool) {
        let issued = credentials.get().await.unwrap();
        (issued.url.to_string(), issued.token, issued.is_new)
    }

    fn expected(url: &str, token: &str, is_new: bool) -> (String, String, bool) {
        (url.to_owned(), token.to_owned(), is_new)
    }

    #[tokio::test]
    async fn a_token_is_made_once_for_all_who_ask_meanwhile() {
        let credentials = counted(None, None);
        let (first, second) = tokio::join!(get(&credentials), get(&credentials));
        assert_eq!(first, expected("http://h0/", "t0", true));
        assert_eq!(second, expected("http://h0/", "t0", false));
        credentials.refused("t0").await;
        assert_eq!(get(&credentials).await, expected("http://h0/", "t1", true));
        // Somebody else noticed it before.
        credentials.refused("t0").await;
        assert_eq!(get(&credentials).await, expected("http://h0/", "t1", false));
    }

    #[tokio::test]
    async fn a_url_and_a_token_at_hand_come_first() {
        let credentials = counted(Some("http://given/"), Some("given"));
        let first = expected("http://given/", "given", false);
        assert_eq!(get(&credentials).await, first);
        credentials.refused("given").await;
        let second = expected("http://given/", "t0", true);
        assert_eq!(get(&credentials).await, second);
    }
}
