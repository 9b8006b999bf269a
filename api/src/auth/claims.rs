//! Claims: what a token opens, and their form as bytes, which is the plain text of a token.
//!
//! All versions begin with `expiry (8 bytes, seconds since the Unix epoch, big-endian)`. Then
//! follows
//!
//! - in version 1: `generation (16) ‖ stream key`;
//! - in version 2, for streams: `0`, and for each stream `bytes of its key minus one (1) ‖ key`,
//!   then `1 ‖ generation (16)` if the token is bound to the stream, or else `0`;
//! - in version 2, for a prefix: `1 ‖ prefix`;
//! - in version 3: `permissions (1) ‖ bytes of the subject (1) ‖ subject`, then as in version 2.
//!   Without a subject it has 0 bytes.
//!
//! The broker writes the oldest version that can express the claims, so that older nodes can read
//! the token.

use std::collections::BTreeMap;

use super::permissions::{Permissions, Subject};
use crate::stream::{Generation, StreamKey};

/// In version 2: streams follow.
const STREAMS: u8 = 0;

/// In version 2: a prefix follows.
const PREFIX: u8 = 1;

/// In version 2: every stream at the key.
const ANY: u8 = 0;

/// In version 2: the stream whose generation follows.
const BOUND: u8 = 1;

/// The claims of a token: what it opens, to what end, for whom, and when it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The streams that it opens.
    pub scope: Scope,
    /// What it permits.
    pub permissions: Permissions,
    /// Who holds it, if the backend said so.
    pub subject: Option<Subject>,
    /// The time at which it expires, in seconds since the Unix epoch.
    pub expires_at: u64,
}

/// The streams that a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The streams at these keys. With a generation, the token opens only the stream of that
    /// generation. Without one, it opens every stream at the key.
    Streams(BTreeMap<StreamKey, Option<Generation>>),
    /// All streams whose keys begin with this, which has the form of a key.
    Prefix(StreamKey),
}

impl Scope {
    /// Whether the token opens a stream at this key. It may still be bound to a generation.
    #[must_use]
    pub fn covers(&self, key: &StreamKey) -> bool {
        match self {
            Self::Streams(streams) => streams.contains_key(key),
            Self::Prefix(prefix) => key.as_str().starts_with(prefix.as_str()),
        }
    }

    /// The generation that the token is bound to at this key, if any.
    #[must_use]
    pub fn generation(&self, key: &StreamKey) -> Option<Generation> {
        match self {
            Self::Streams(streams) => streams.get(key).copied().flatten(),
            Self::Prefix(_) => None,
        }
    }
}

impl Claims {
    /// Returns the claims as bytes, and the version of their form: the oldest that can express
    /// them.
    pub(super) fn encode(&self) -> (u8, Vec<u8>) {
        let mut plain = self.expires_at.to_be_bytes().to_vec();
        let is_plain = self.permissions == Permissions::READ && self.subject.is_none();
        if !is_plain {
            let subject = self.subject.as_ref().map_or("", Subject::as_str);
            plain.push(self.permissions.encode());
            // A subject has at most 128 bytes.
            plain.push(u8::try_from(subject.len()).unwrap_or(u8::MAX));
            plain.extend(subject.bytes());
        }
        match &self.scope {
            Scope::Streams(streams) => {
                if let (true, 1, Some((key, Some(generation)))) =
                    (is_plain, streams.len(), streams.first_key_value())
                {
                    plain.extend(generation.0);
                    plain.extend(key.as_str().bytes());
                    return (1, plain);
                }
                plain.push(STREAMS);
                for (key, generation) in streams {
                    // A key has 1 to 256 bytes. Minus one, the length fits into a byte.
                    plain.push(u8::try_from(key.as_str().len() - 1).unwrap_or(u8::MAX));
                    plain.extend(key.as_str().bytes());
                    match generation {
                        None => plain.push(ANY),
                        Some(generation) => {
                            plain.push(BOUND);
                            plain.extend(generation.0);
                        }
                    }
                }
            }
            Scope::Prefix(prefix) => {
                plain.push(PREFIX);
                plain.extend(prefix.as_str().bytes());
            }
        }
        (if is_plain { 2 } else { 3 }, plain)
    }

    /// Parses the result of [`Self::encode`]. None if the bytes are something else.
    pub(super) fn decode(version: u8, plain: &[u8]) -> Option<Self> {
        let (expires_at, rest) = plain.split_first_chunk::<8>()?;
        let (permissions, subject, rest) = match version {
            3 => grant(rest)?,
            _ => (Permissions::READ, None, rest),
        };
        let scope = match (version, rest) {
            (1, rest) => {
                let (generation, key) = rest.split_first_chunk::<16>()?;
                Scope::Streams(BTreeMap::from([(
                    self::key(key)?,
                    Some(Generation(*generation)),
                )]))
            }
            (2 | 3, [STREAMS, rest @ ..]) => Scope::Streams(streams(rest)?),
            (2 | 3, [PREFIX, rest @ ..]) => Scope::Prefix(key(rest)?),
            _ => return None,
        };
        Some(Self {
            scope,
            permissions,
            subject,
            expires_at: u64::from_be_bytes(*expires_at),
        })
    }
}

/// In version 3, the permissions and the subject, and the rest.
fn grant(bytes: &[u8]) -> Option<(Permissions, Option<Subject>, &[u8])> {
    let (&[permissions, length], rest) = bytes.split_first_chunk()?;
    let (subject, rest) = rest.split_at_checked(usize::from(length))?;
    let subject = match std::str::from_utf8(subject).ok()? {
        "" => None,
        subject => Some(subject.parse().ok()?),
    };
    Some((Permissions::decode(permissions)?, subject, rest))
}

fn streams(mut rest: &[u8]) -> Option<BTreeMap<StreamKey, Option<Generation>>> {
    let mut streams = BTreeMap::new();
    while let Some((&length, after)) = rest.split_first() {
        let (key, after) = after.split_at_checked(usize::from(length) + 1)?;
        let (generation, after) = match after {
            [ANY, after @ ..] => (None, after),
            [BOUND, after @ ..] => after
                .split_first_chunk()
                .map(|(generation, after)| (Some(Generation(*generation)), after))?,
            _ => return None,
        };
        streams.insert(self::key(key)?, generation);
        rest = after;
    }
    Some(streams)
}

fn key(bytes: &[u8]) -> Option<StreamKey> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scope: Scope, expires_at: u64) -> Claims {
        Claims {
            scope,
            permissions: Permissions::READ,
            subject: None,
            expires_at,
        }
    }

    fn scope(keys: &[(&str, Option<u8>)]) -> Scope {
        Scope::Streams(
            keys.iter()
                .map(|(key, generation)| {
                    (
                        key.parse().unwrap(),
                        generation.map(|byte| Generation([byte; 16])),
                    )
                })
                .collect(),
        )
    }

    #[test]
    fn claims_are_written_in_the_oldest_version_that_can_express_them() {
        let prefix = Scope::Prefix("a".parse().unwrap());
        for (scope, version) in [
            (scope(&[("a", Some(7))]), 1),
            (scope(&[("a", None)]), 2),
            (scope(&[("a", Some(7)), ("b", Some(8))]), 2),
            (scope(&[]), 2),
            (prefix, 2),
        ] {
            assert_eq!(of(scope.clone(), 9).encode().0, version, "{scope:?}");
            let with_signal = Claims {
                permissions: Permissions {
                    read: true,
                    signal: true,
                },
                ..of(scope.clone(), 9)
            };
            let with_subject = Claims {
                subject: Some("user-7".parse().unwrap()),
                ..of(scope, 9)
            };
            assert_eq!((with_signal.encode().0, with_subject.encode().0), (3, 3));
        }
    }

    #[test]
    fn the_form_of_version_3_stays() {
        let claims = Claims {
            permissions: Permissions {
                read: false,
                signal: true,
            },
            subject: Some("me".parse().unwrap()),
            ..of(scope(&[("a", None)]), 258)
        };
        let plain = [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, b'm', b'e', 0, 0, b'a', 0].to_vec();
        assert_eq!(claims.encode(), (3, plain.clone()));
        assert_eq!(Claims::decode(3, &plain), Some(claims));
        for (at, byte) in [(8, 4), (9, 200), (10, 0)] {
            let mut other = plain.clone();
            other[at] = byte;
            assert_eq!(Claims::decode(3, &other), None, "{at} {byte}");
        }
    }

    #[test]
    fn the_form_of_version_2_stays() {
        let claims = of(scope(&[("a", Some(7)), ("bc", None)]), 258);
        let plain = [
            &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, b'a', 1][..],
            &[7; 16],
            &[1, b'b', b'c', 0],
        ]
        .concat();
        assert_eq!(claims.encode(), (2, plain));
        let claims = of(Scope::Prefix("bc".parse().unwrap()), 258);
        assert_eq!(
            claims.encode(),
            (2, vec![0, 0, 0, 0, 0, 0, 1, 2, 1, b'b', b'c'])
        );
    }

    #[test]
    fn a_scope_covers_its_keys_or_its_prefix_and_nothing_else() {
        let key = |text: &str| text.parse::<StreamKey>().unwrap();
        let list = scope(&[("a", Some(7)), ("b", None)]);
        assert!(
            list.covers(&key("a"))
                && list.covers(&key("b"))
                && !list.covers(&key("ab"))
                && !list.covers(&key("c"))
        );
        assert_eq!(
            (
                list.generation(&key("a")),
                list.generation(&key("b")),
                list.generation(&key("c"))
            ),
            (Some(Generation([7; 16])), None, None)
        );
        let prefix = Scope::Prefix(key("ab:"));
        assert!(prefix.covers(&key("ab:")) && prefix.covers(&key("ab:c")));
        assert!(
            !prefix.covers(&key("ab"))
                && !prefix.covers(&key("Ab:c"))
                && !prefix.covers(&key("xab:c"))
        );
        assert_eq!(prefix.generation(&key("ab:c")), None);
    }
}
