//! Newline-delimited JSON: cuts arriving bytes into lines of a bounded length.

use bytes::{Buf, Bytes, BytesMut};

use super::json::without_bom;

/// One line of an upload, and its number, from 1.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The line without its end.
    Text(u64, Bytes),
    /// A line longer than the limit. Its bytes were dropped.
    TooLong(u64),
}

/// Cuts an upload into lines. It counts blank lines and skips them.
#[derive(Debug)]
pub struct Lines {
    buffer: BytesMut,
    /// How many bytes of the buffer were searched, and hold no line end.
    searched: usize,
    limit: usize,
    number: u64,
    /// The next bytes are the rest of a line that is too long.
    skipping: bool,
}

impl Lines {
    /// Cuts into lines of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            limit,
            number: 0,
            skipping: false,
        }
    }

    /// The buffer for arriving bytes. It holds at most one incomplete line, and the bytes that
    /// arrived with it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next complete line.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.searched..])
                .map(|offset| self.searched + offset);
            let Some(end) = found else {
                self.searched = self.buffer.len();
                return self.drop_if_too_long();
            };
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if let Some(line) = self.count_line(line) {
                return Some(line);
            }
        }
    }

    /// The last line, if the upload ended without a line end.
    pub fn last_line(&mut self) -> Option<Line> {
        let line = self.buffer.split().freeze();
        self.searched = 0;
        if std::mem::take(&mut self.skipping) {
            None
        } else {
            self.count_line(line)
        }
    }

    fn count_line(&mut self, line: Bytes) -> Option<Line> {
        self.number += 1;
        let line = if line.ends_with(b"\r") {
            line.slice(..line.len() - 1)
        } else {
            line
        };
        // A file that was concatenated from others may have a byte order mark before any line.
        let line = line.slice(line.len() - without_bom(&line).len()..);
        if line.len() > self.limit {
            return Some(Line::TooLong(self.number));
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(Line::Text(self.number, line))
    }

    /// Returns an incomplete line that is already too long, once, and drops its bytes.
    fn drop_if_too_long(&mut self) -> Option<Line> {
        if self.skipping {
            self.buffer.clear();
            self.searched = 0;
            return None;
        }
        // One byte more than the limit may be the CR of a line end whose LF has not arrived.
        if self.buffer.len() <= self.limit + 1 {
            return None;
        }
        self.buffer.clear();
        self.searched = 0;
        self.skipping = true;
        self.number += 1;
        Some(Line::TooLong(self.number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], piece: usize, limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(limit);
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            lines.buffer().extend_from_slice(piece);
            read.extend(std::iter::from_fn(|| lines.next_line()));
            assert!(
                lines.buffer().len() <= limit + 1,
                "the buffer holds at most one line"
            );
        }
        read.extend(lines.last_line());
        read
    }

    /// The simplest implementation of the same.
    fn reference(bytes: &[u8], limit: usize) -> Vec<Line> {
        let mut lines: Vec<_> = bytes.split(|&b| b == b'\n').collect();
        if lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let line = |(number, line): (u64, &[u8])| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > limit {
                return Some(Line::TooLong(number));
            }
            (!line.trim_ascii().is_empty())
                .then(|| Line::Text(number, Bytes::copy_from_slice(line)))
        };
        (1..).zip(lines).filter_map(line).collect()
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_bytes_are_cut(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["\n", "\r\n", " ", "ab", "{\"é\":1}", "\r"]),
                0..60,
            ),
            piece in 1..40usize,
            limit in 1..20usize,
        ) {
            let text = pieces.concat();
            prop_assert_eq!(read(text.as_bytes(), piece, limit), reference(text.as_bytes(), limit));
        }
    }

    #[test]
    fn a_long_line_is_reported_once_and_the_next_line_is_read() {
        let upload = [&[b'x'; 1000][..], b"\nab\n"].concat();
        for piece in [1, 7, 5000] {
            assert_eq!(
                read(&upload, piece, 10),
                [Line::TooLong(1), Line::Text(2, Bytes::from_static(b"ab"))],
                "{piece}"
            );
        }
    }
}
