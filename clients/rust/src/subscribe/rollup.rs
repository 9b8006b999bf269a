//! How many events a frame of server-sent events stands for. A comment before it says so.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, TryStream, TryStreamExt, stream};

/// The beginning of the comment, before the number.
const COMMENT: &[u8] = b":rollup ";

/// The longest comment: the number has at most 20 digits.
const MAX_COMMENT: usize = COMMENT.len() + 20;

/// The number of events that the next frame stands for.
///
/// The parser does not show comments. So the chunks are split behind them: the parser asks for the
/// next piece only after it has returned all frames of those before. The first frame after the
/// piece that follows a comment is then the one that the comment is for.
#[derive(Clone, Debug)]
pub(super) struct FrameCount(Arc<AtomicU64>);

impl FrameCount {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// The number for the frame that the parser has returned.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(1, Ordering::Relaxed)
    }

    /// Splits the chunks of a body, and reads the comments.
    pub(super) fn read<S>(
        &self,
        body: S,
    ) -> impl TryStream<Ok = Bytes, Error = S::Error, Item = Result<Bytes, S::Error>> + use<S>
    where
        S: TryStream<Ok = Bytes>,
    {
        let count = Arc::clone(&self.0);
        let mut scanner = Scanner::default();
        body.map_ok(move |chunk| stream::iter(scanner.split(&chunk)).map(Ok))
            .try_flatten()
            .map_ok(move |(number, piece)| {
                if let Some(number) = number {
                    count.store(number, Ordering::Relaxed);
                }
                piece
            })
    }
}

/// A scanner finds the comments in the chunks of a body.
struct Scanner {
    /// The line so far, while it may be a comment with a number.
    line: Option<Vec<u8>>,
    /// The number of a comment that ended with the chunk before.
    number: Option<u64>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            line: Some(Vec::new()),
            number: None,
        }
    }
}

impl Scanner {
    /// Splits a chunk behind each comment. A piece comes with the number of the comment before it.
    fn split(&mut self, chunk: &Bytes) -> Vec<(Option<u64>, Bytes)> {
        let mut pieces = Vec::new();
        let (mut piece, mut line) = (0, 0);
        while let Some(length) = chunk[line..].iter().position(|byte| b"\r\n".contains(byte)) {
            let end = line + length;
            self.extend(&chunk[line..end]);
            let number = self.line.replace(Vec::new()).as_deref().and_then(number);
            line = end + 1;
            if number.is_some() {
                pieces.push((self.number.take(), chunk.slice(piece..line)));
                self.number = number;
                piece = line;
            }
        }
        self.extend(&chunk[line..]);
        if piece < chunk.len() {
            pieces.push((self.number.take(), chunk.slice(piece..)));
        }
        pieces
    }

    /// Adds to the line.
    fn extend(&mut self, part: &[u8]) {
        if let Some(line) = &mut self.line {
            if line.len() + part.len() <= MAX_COMMENT {
                line.extend_from_slice(part);
            } else {
                self.line = None;
            }
        }
    }
}

/// The number in a comment, if the line is one.
fn number(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.strip_prefix(COMMENT)?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_split_behind_comments_at_any_size() {
        let text = ":rollup 3\nid: 5-3\n\nretry: 5\n:rollup 12\r\nid: 5-15\r\n\r\n:x\n\
            x:rollup 9\n:rollup x\n:rollup 99999999999999999999999\n";
        for size in 1..text.len() {
            let mut scanner = Scanner::default();
            let chunks = text.as_bytes().chunks(size);
            let pieces: Vec<_> = chunks
                .flat_map(|chunk| scanner.split(&Bytes::copy_from_slice(chunk)))
                .collect();
            let joined: Vec<u8> = pieces
                .iter()
                .flat_map(|(_, piece)| piece.to_vec())
                .collect();
            assert_eq!(joined, text.as_bytes());
            let mut before = Vec::new();
            let mut found = Vec::new();
            for (number, piece) in pieces {
                found.extend(number.map(|number| (number, before.len())));
                before.extend_from_slice(&piece);
            }
            let behind = |comment: &str| text.find(comment).unwrap() + comment.len();
            let expected = [(3, behind(":rollup 3\n")), (12, behind(":rollup 12\r"))];
            assert_eq!(found, expected, "in chunks of {size}");
        }
    }
}
