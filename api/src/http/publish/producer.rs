//! Producers that number their events, so that what they send again after a broken connection is
//! written once.

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};

use crate::{
    http::{
        error::{ApiError, ErrorCode},
        query::Query,
    },
    stream::{InvalidProducer, MAX_SEQUENCE, ProducerSequence},
};

/// `?producer=` and `?sequence=`: where an upload's first event stands among all of its producer's.
/// None: not numbered.
pub struct FromProducer(pub(super) Option<ProducerSequence>);

/// Reads the two as they come in a body or a query. A sequence that is not given is 0.
pub(super) fn producer_sequence(
    producer: Option<&str>,
    sequence: Option<u64>,
) -> Result<Option<ProducerSequence>, ApiError> {
    let counted = sequence.unwrap_or(0);
    if counted > MAX_SEQUENCE {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("sequence is at most {MAX_SEQUENCE}, not {counted}"),
        ));
    }
    match (producer, sequence) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ApiError::new(
            ErrorCode::InvalidProducer,
            "A sequence needs the producer whose events it counts",
        )),
        (Some(name), _) => {
            let producer = name.parse().map_err(|error: InvalidProducer| {
                ApiError::new(ErrorCode::InvalidProducer, error.to_string())
            })?;
            Ok(Some(ProducerSequence {
                producer,
                sequence: counted,
            }))
        }
    }
}

fn sequence(text: &str) -> Result<u64, ApiError> {
    text.parse()
        .map_err(|_| invalid("sequence is a number of events, from 0".to_owned()))
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

#[async_trait]
impl<'r> FromRequest<'r> for FromProducer {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        let query = Query::of(request);
        let read = |name| {
            query
                .text(name)
                .map_err(|_| invalid(format!("{name} is not UTF-8")))
        };
        match read("producer").and_then(|producer| {
            producer_sequence(producer, read("sequence")?.map(sequence).transpose()?)
        }) {
            Ok(producer_sequence) => Outcome::Success(Self(producer_sequence)),
            Err(error) => error.refuse(request),
        }
    }
}
