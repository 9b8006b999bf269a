//! JSON bodies: bounded in size and time, of any content type, and with an error that says what is wrong and where.

use rocket::{
    Data, Request, async_trait,
    data::{FromData, Outcome, ToByteUnit},
};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    config::Settings,
    error::{ApiError, ErrorCode},
    wire::json::Object,
};

/// The bytes of a body, not yet read as JSON, so that what is read may borrow from them.
pub struct Body(Vec<u8>);

#[async_trait]
impl<'r> FromData<'r> for Body {
    type Error = ApiError;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        // Without settings the server was put together wrongly, which no request can cause.
        let Some(&Settings { max_body, body_timeout, .. }) = request.rocket().state() else {
            return Outcome::Error(ApiError::internal().kept_for_catcher(request));
        };
        // Rocket has waited for the first bytes, for as long as they took; that is for the proxy in front to limit.
        let error = match timeout(body_timeout, data.open(max_body.bytes()).into_bytes()).await {
            Ok(Ok(body)) if body.is_complete() => return Outcome::Success(Self(body.into_inner())),
            Ok(Ok(_)) => ApiError::new(ErrorCode::TooLarge, format!("The body is larger than {max_body} bytes")),
            Ok(Err(_)) => ApiError::new(ErrorCode::BadRequest, "The body broke off"),
            Err(_) => {
                ApiError::new(ErrorCode::RequestTimeout, format!("The body did not arrive within {} seconds", body_timeout.as_secs()))
            }
        };
        Outcome::Error(error.kept_for_catcher(request))
    }
}

impl Body {
    /// Reads the body as a JSON object.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        let mut reader = serde_json::Deserializer::from_slice(&self.0);
        let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let place = if path == "." { "The body".to_owned() } else { format!("The body's {path}") };
            problem(&place, &error.into_inner())
        })?;
        reader.end().map_err(|error| problem("The body", &error))?;
        Ok(value)
    }
}

fn problem(place: &str, error: &serde_json::Error) -> ApiError {
    match error.classify() {
        serde_json::error::Category::Data => ApiError::new(ErrorCode::InvalidRequest, format!("{place} is not as it should be: {error}")),
        _ => ApiError::new(ErrorCode::MalformedJson, format!("The body is not valid JSON: {error}")),
    }
}
