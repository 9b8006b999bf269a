//! The chunked transfer coding (RFC 9112, section 7.1), decoded incrementally.

/// The decoder's position in the coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the hex digits of a size.
    Size,
    /// After them, in an extension or the end of the line.
    SizeLine,
    /// In the data, with this many bytes left.
    Data(usize),
    /// In the end of the line after the data.
    DataEnd,
    /// In the trailer. True while the current line is empty.
    Trailer(bool),
    /// After the trailer.
    Done,
}

/// A decoder of chunks that may be split anywhere.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    size: usize,
}

/// The bytes are not in the chunked coding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Chunked {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
        }
    }

    /// Whether the last chunk and the trailer have been read.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes these bytes, and appends the part of the body in them to `out`.
    pub(crate) fn decode(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Data(left) => {
                    let taken = left.min(bytes.len());
                    out.extend_from_slice(&bytes[..taken]);
                    self.state = if taken == left {
                        State::DataEnd
                    } else {
                        State::Data(left - taken)
                    };
                    &bytes[taken..]
                }
                State::Done => return Err(Malformed),
                _ => {
                    self.step(byte)?;
                    rest
                }
            };
        }
        Ok(())
    }

    /// Handles one byte outside the data.
    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                let digit = usize::from(match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                });
                self.size = self
                    .size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit))
                    .ok_or(Malformed)?;
                State::Size
            }
            (State::Size | State::SizeLine, b'\n') => match std::mem::take(&mut self.size) {
                0 => State::Trailer(true),
                size => State::Data(size),
            },
            (State::Size, b'\r' | b';' | b' ') | (State::SizeLine, _) => State::SizeLine,
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size,
            (State::Trailer(true), b'\n') => State::Done,
            (State::Trailer(false), b'\n') => State::Trailer(true),
            (State::Trailer(empty), _) => State::Trailer(empty && byte == b'\r'),
            _ => return Err(Malformed),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODED: &[u8] = b"4\r\nWiki\r\n7;name=\"v\"\r\npedia i\r\nB\r\nn \r\nchunks.\r\n\
        0\r\nExpires: never\r\n\r\n";

    #[test]
    fn any_split_gives_the_same_body() {
        for first in 0..CODED.len() {
            for second in first..CODED.len() {
                let mut decoder = Chunked::new();
                let mut body = Vec::new();
                for piece in [&CODED[..first], &CODED[first..second], &CODED[second..]] {
                    decoder.decode(piece, &mut body).unwrap();
                }
                assert_eq!(body, b"Wikipedia in \r\nchunks.");
                assert!(decoder.is_done());
            }
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            &b"id: 1\n"[..],
            b"4\r\nWikipedia",
            b"fffffffffffffffff\r\n",
            b"0\r\n\r\nmore",
        ] {
            assert_eq!(
                Chunked::new().decode(bytes, &mut Vec::new()),
                Err(Malformed),
                "{bytes:?}"
            );
        }
    }
}
