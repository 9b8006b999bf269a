//! Events as newline-delimited JSON.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::{RequestBuilder, StatusCode, header::ACCEPT};
use tokio::io::AsyncBufReadExt;
use tokio_util::io::StreamReader;

use super::{
    content_type,
    frame::{Frame, JsonFrame, Received, read_json},
};
use crate::{Error, liveness::Liveness};

const NDJSON: &str = "application/x-ndjson";

type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// A connection that receives lines of JSON.
pub(super) struct Ndjson {
    body: StreamReader<Chunks, Bytes>,
    /// The received part of the next line.
    line: Vec<u8>,
}

impl Ndjson {
    /// Connects. Returns None when the broker has no more events. `liveness` records each chunk
    /// that arrives.
    pub(super) async fn connect(
        request: RequestBuilder,
        liveness: &Arc<Liveness>,
    ) -> Result<Option<Self>, Error> {
        let response = request.header(ACCEPT, NDJSON).send().await?;
        match response.status() {
            StatusCode::OK => content_type::check(&response, NDJSON)?,
            StatusCode::NO_CONTENT => return Ok(None),
            _ => return Err(Error::from_response(response).await),
        }
        let liveness = Arc::clone(liveness);
        Ok(Some(Self::new(
            response
                .bytes_stream()
                .inspect(move |_| liveness.record())
                .map_err(io::Error::other)
                .boxed(),
        )))
    }

    fn new(body: Chunks) -> Self {
        Self {
            body: StreamReader::new(body),
            line: Vec::new(),
        }
    }

    /// The next line. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        self.body
            .read_until(b'\n', &mut self.line)
            .await
            .map_err(Error::unreachable)?;
        if !self.line.ends_with(b"\n") {
            return Err(Error::unreachable("the connection was closed early"));
        }
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            Ok(Received::Heartbeat)
        } else {
            Ok(Received::Frame(Frame::from(read_json::<JsonFrame>(&line)?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, stream};

    use super::*;

    #[test]
    fn only_complete_lines_count_at_any_chunk_size() {
        let text = concat!(
            "\n{\"key\":\"é\",\"id\":\"5-0\",\"event\":\"start\"}\n",
            "\n{\"key\":\"é\",\"id\":\"5-1\"}\n{\"key\":\"é\",\"id\":\"5-2\"}"
        );
        for piece in 1..text.len() {
            let pieces: Vec<_> = text
                .as_bytes()
                .chunks(piece)
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            let mut lines = Ndjson::new(stream::iter(pieces).boxed());
            let (mut read, mut heartbeats) = (Vec::new(), 0);
            let error = loop {
                match block_on(lines.next()) {
                    Ok(Received::Frame(frame)) => read.push((
                        frame.key.unwrap(),
                        frame.id.unwrap(),
                        frame.event.map(|event| event.name),
                    )),
                    Ok(Received::Heartbeat) => heartbeats += 1,
                    Ok(_) => panic!("another message"),
                    Err(error) => break error,
                }
            };
            assert_eq!(
                read,
                [
                    ("é".into(), "5-0".into(), Some("start".into())),
                    ("é".into(), "5-1".into(), None)
                ]
            );
            assert!(heartbeats == 2 && error.is_transient());
        }
    }
}
