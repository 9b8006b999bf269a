//! The parameters `producer` and `sequence`. With them, the broker writes an event only once, even
//! if its producer sends it again after a broken connection.

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

/// The query parameters `producer` and `sequence`: the sequence of the first event of an upload.
/// None if the query names no producer.
pub(super) struct QueryProducer(pub(super) Option<ProducerSequence>);

/// Checks a producer and a sequence of a body or a query. The default sequence is 0.
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
            "sequence needs a producer",
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
        .map_err(|_| invalid("sequence is a whole number from 0".to_owned()))
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

#[async_trait]
impl<'r> FromRequest<'r> for QueryProducer {
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
