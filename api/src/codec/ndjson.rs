//! Newline-delimited JSON: bytes as they arrive into lines, of a bounded length, however they are
//! cut into pieces.

use bytes::{Buf, Bytes, BytesMut};

use super::json::without_bom;

/// One line of an upload, and its number, from 1.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The line without its end.
    Text(u64, Bytes),
    /// Longer than allowed; it was read past, not kept.
    TooLong(u64),
}

/// Cuts an upload into lines. Blank ones are counted and skipped.
#[derive(Debug)]
pub struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    limit: usize,
    number: u64,
    /// The rest of a line that is too long is being read past.
    skipping: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes.
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

    /// Where to put what arrives. Holds at most one line that is not complete, and what came with
    /// it.
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
                return self.give_up_if_too_long();
            };
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if let Some(line) = self.numbered(line) {
                return Some(line);
            }
        }
    }

    /// The last line, where the upload ended without a line end.
    pub fn last_line(&mut self) -> Option<Line> {
        let line = self.buffer.split().freeze();
        self.searched = 0;
        if std::mem::take(&mut self.skipping) {
            None
        } else {
            self.numbered(line)
        }
    }

    fn numbered(&mut self, line: Bytes) -> Option<Line> {
        self.number += 1;
        let line = if line.ends_with(b"\r") {
            line.slice(..line.len() - 1)
        } else {
            line
        };
        // A file that was put together from others may have a mark before any of its lines.
        let line = line.slice(line.len() - without_bom(&line).len()..);
        if line.len() > self.limit {
            return Some(Line::TooLong(self.number));
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(Line::Text(self.number, line))
    }

    /// A line that is too long is told as soon as it is known, once, and its bytes are not kept.
    fn give_up_if_too_long(&mut self) -> Option<Line> {
        if self.skipping {
            self.buffer.clear();
            self.searched = 0;
            return None;
        }
        // One byte more than the limit may be the CR of a line end still to come.
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
                "no more than a line is kept"
            );
        }
        read.extend(lines.last_line());
        read
    }

    /// The same by the plainest means.
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
            pieces in prop::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just(" "), Just("ab"), Just("{\"é\":1}"), Just("\r")], 0..60),
            piece in 1..40usize,
            limit in 1..20usize,
        ) {
            let text = pieces.concat();
            prop_assert_eq!(read(text.as_bytes(), piece, limit), reference(text.as_bytes(), limit));
        }
    }

    #[test]
    fn a_long_line_is_told_once_and_the_next_is_read() {
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
