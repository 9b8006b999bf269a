//! The chunked transfer coding (RFC 9112, section 7.1), decoded as bytes come.

/// Where in the coding the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the hex digits of a size.
    Size,
    /// Behind them, in an extension or the line's end.
    SizeLine,
    /// In the data, with so many bytes to come.
    Data(usize),
    /// In the line's end after the data.
    DataEnd,
    /// In the trailer; whether the line has been empty so far.
    Trailer(bool),
    /// Behind it all.
    Done,
}

/// An incremental decoder.
#[derive(Debug)]
pub(crate) struct Chunked {
    at: At,
    size: usize,
}

/// The bytes are not in the chunked coding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Chunked {
    pub(crate) fn new() -> Self {
        Self {
            at: At::Size,
            size: 0,
        }
    }

    /// Whether the last chunk and the trailer have been read.
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Appends what these bytes hold of the body to `out`.
    pub(crate) fn decode(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.at {
                At::Data(left) => {
                    let taken = left.min(bytes.len());
                    out.extend_from_slice(&bytes[..taken]);
                    self.at = if taken == left {
                        At::DataEnd
                    } else {
                        At::Data(left - taken)
                    };
                    &bytes[taken..]
                }
                At::Done => return Err(Malformed),
                _ => {
                    self.step(byte)?;
                    rest
                }
            };
        }
        Ok(())
    }

    /// One byte outside the data.
    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.at = match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                let digit = usize::from(match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                });
                self.size = self
                    .size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit))
                    .ok_or(Malformed)?;
                At::Size
            }
            (At::Size | At::SizeLine, b'\n') => match std::mem::take(&mut self.size) {
                0 => At::Trailer(true),
                size => At::Data(size),
            },
            (At::Size, b'\r' | b';' | b' ') | (At::SizeLine, _) => At::SizeLine,
            (At::DataEnd, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Size,
            (At::Trailer(true), b'\n') => At::Done,
            (At::Trailer(false), b'\n') => At::Trailer(true),
            (At::Trailer(empty), _) => At::Trailer(empty && byte == b'\r'),
            _ => return Err(Malformed),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODED: &[u8] = b"4\r\nWiki\r\n7;name=\"v\"\r\npedia i\r\nB\r\nn \r\nchunks.\r\n0\r\nExpires: never\r\n\r\n";

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
    fn what_is_no_coding_is_refused() {
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
