//! JSON bodies of any content type. Their size and the time to read them are bounded. Errors say
//! what is wrong, and where.

use rocket::{
    Data, Request, async_trait,
    data::{FromData, Outcome, ToByteUnit},
    request::{self, FromRequest},
};
use serde::Deserialize;
use tokio::time::timeout;

use super::error::{ApiError, ErrorCode};
use crate::{
    codec::json::{Object, without_bom},
    config::Settings,
};

/// The bytes of a body. They are not parsed yet, so that the parsed value may borrow from them.
pub struct Body(Vec<u8>);

#[async_trait]
impl<'r> FromData<'r> for Body {
    type Error = ApiError;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        if let Err(error) = must_be_plain(request) {
            return Outcome::Error(error.keep_for_catcher(request));
        }
        // Only a bug in `server.rs` can leave out the settings.
        let Some(&Settings {
            max_body,
            body_timeout,
            ..
        }) = request.rocket().state()
        else {
            return Outcome::Error(ApiError::internal().keep_for_catcher(request));
        };
        // Rocket has already waited for the first bytes, without a limit. A proxy in front has to
        // limit that.
        let error = match timeout(body_timeout, data.open(max_body.bytes()).into_bytes()).await {
            Ok(Ok(body)) if body.is_complete() => return Outcome::Success(Self(body.into_inner())),
            Ok(Ok(_)) => ApiError::new(
                ErrorCode::TooLarge,
                format!("The body is larger than {max_body} bytes"),
            ),
            Ok(Err(_)) => ApiError::new(
                ErrorCode::BadRequest,
                "The connection broke before the body was complete",
            ),
            Err(_) => ApiError::new(
                ErrorCode::RequestTimeout,
                format!(
                    "The body did not arrive within {} seconds",
                    body_timeout.as_secs()
                ),
            ),
        };
        Outcome::Error(error.keep_for_catcher(request))
    }
}

/// The request has a plain body: neither compressed nor in another character set than UTF-8. The
/// route reads the body.
pub struct PlainBody;

#[async_trait]
impl<'r> FromRequest<'r> for PlainBody {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ApiError> {
        match must_be_plain(request) {
            Ok(()) => request::Outcome::Success(Self),
            Err(error) => error.refuse(request),
        }
    }
}

/// Refuses bodies that would cause misleading errors: a compressed body would be malformed JSON, or
/// an upload without lines.
fn must_be_plain(request: &Request<'_>) -> Result<(), ApiError> {
    let refuse = |message| Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
    let codings = request
        .headers()
        .get("Content-Encoding")
        .flat_map(|codings| codings.split(','))
        .map(str::trim);
    if let Some(coding) = codings
        .into_iter()
        .find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
    {
        return refuse(format!(
            "The body has the content encoding {coding:?}; send it uncompressed"
        ));
    }
    let charset = request
        .content_type()
        .and_then(|kind| kind.param("charset"));
    let is_utf8 = |charset: &str| {
        ["utf-8", "utf8", "us-ascii", "ascii"]
            .iter()
            .any(|good| charset.eq_ignore_ascii_case(good))
    };
    match charset.filter(|charset| !is_utf8(charset)) {
        Some(charset) => refuse(format!(
            "The body has the character set {charset:?}; send it as UTF-8"
        )),
        None => Ok(()),
    }
}

impl Body {
    /// Parses the body as a JSON object.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        let body = without_bom(&self.0);
        match serde_json::from_slice(body) {
            Ok(Object(value)) => Ok(value),
            // Only a bad body pays for finding the place of its error.
            Err(error) => Err(match place_of_error::<T>(body) {
                Some(place) => problem(&place, &error),
                None => problem("The body", &error),
            }),
        }
    }
}

/// The member of the body that can't be read as a `T`. `None` where it is the body as a whole.
fn place_of_error<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let result = serde_path_to_error::deserialize::<_, Object<T>>(&mut reader);
    let path = result.err()?.path().to_string();
    (path != ".").then(|| format!("The member {path} of the body"))
}

fn problem(place: &str, error: &serde_json::Error) -> ApiError {
    match error.classify() {
        serde_json::error::Category::Data => ApiError::new(
            ErrorCode::InvalidRequest,
            format!("{place} has the wrong form: {error}"),
        ),
        _ => ApiError::new(
            ErrorCode::MalformedJson,
            format!("The body is not valid JSON: {error}"),
        ),
    }
}
