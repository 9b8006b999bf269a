//! What a version stored in Redis, as commands that store it again, with the tokens and cursors
//! that it issued and its answers.
//!
//! A recording has no date that passes. Ids and times of events stay the same. A time in the
//! future, such as a deadline, is kept as a duration from now. Tokens are valid until the year
//! 2100.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use redis::aio::ConnectionLike;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::common::subscriber::Update;

/// A number in Redis counts as a future time when it lies between now and this many milliseconds
/// later. This is longer than the longest TTL, and shorter than the least other number of this
/// size.
const AHEAD: u64 = 30 * 24 * 3_600_000;

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Argument {
    Text(String),
    /// Bytes that are not text.
    Bytes {
        hex: String,
    },
    /// A time, in milliseconds after now.
    Ahead {
        ms_from_now: u64,
    },
}

/// A token, the keys that it opens, and keys that it does not open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) opens: Vec<String>,
    pub(crate) forbids: Vec<String>,
}

/// A cursor of a subscriber, and what the version sent from there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) name: String,
    pub(crate) keys: Vec<String>,
    /// The name of the token.
    pub(crate) token: String,
    pub(crate) text: String,
    /// As elements of a poll's answer.
    #[serde(rename = "told")]
    pub(crate) updates: Vec<Value>,
}

/// A stream, and what the version answered about it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) key: String,
    pub(crate) info: Value,
    pub(crate) events: Value,
    /// What it answered about the signals, if it had any.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) signals: Value,
    /// How many events each producer has written.
    pub(crate) producers: BTreeMap<String, u64>,
}

/// The content of a file of the folder `recorded`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    pub(crate) version: String,
    pub(crate) commit: String,
    /// The setting with the key that sealed the tokens.
    pub(crate) secret_key: String,
    /// The prefix of all keys of Redis.
    pub(crate) prefix: String,
    pub(crate) commands: Vec<Vec<Argument>>,
    pub(crate) streams: Vec<Stream>,
    /// The key of a stream whose TTL is nearly over.
    pub(crate) brief: String,
    /// The key of a stream that does not exist, and that a token permits to wait for.
    pub(crate) later: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) cursors: Vec<Cursor>,
}

/// The folder of all recordings.
pub(crate) fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/versions/recorded").into()
}

/// All recordings, the oldest version first, with the names of their files.
pub(crate) fn all() -> Vec<(String, Recording)> {
    let files = std::fs::read_dir(folder())
        .expect("a folder of recordings")
        .map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there is a recording");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("text");
        let recording = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned(),
            recording,
        )
    };
    files.into_iter().map(read).collect()
}

impl Argument {
    /// The argument for these bytes of Redis, at this time.
    fn of(bytes: &[u8], now: u64) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => match text.parse::<u64>() {
                Ok(ms) if (now + 1..now + AHEAD).contains(&ms) => Self::Ahead {
                    ms_from_now: ms - now,
                },
                _ => Self::Text(text.to_owned()),
            },
            Err(_) => Self::Bytes {
                hex: hex::encode(bytes),
            },
        }
    }

    fn bytes(&self, now: u64) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes { hex } => hex::decode(hex).expect("hex digits"),
            Self::Ahead { ms_from_now } => (now + ms_from_now).to_string().into_bytes(),
        }
    }
}

/// Redis' time in milliseconds.
async fn now(connection: &mut impl ConnectionLike) -> u64 {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME")
        .query_async(connection)
        .await
        .expect("the time");
    seconds * 1000 + micros / 1000
}

/// The commands that store again what Redis holds under the prefix. Keys without a bucket are left
/// out: nodes write them every few seconds about themselves.
pub(crate) async fn dump(connection: &mut impl ConnectionLike, prefix: &str) -> Vec<Vec<Argument>> {
    let pattern = format!("{}{{*", prefix.replace(['*', '?', '[', '\\'], "?"));
    let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg(pattern)
        .query_async(connection)
        .await
        .expect("keys");
    keys.sort();
    let mut commands = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(connection)
            .await
            .expect("a type");
        let now = now(connection).await;
        let text = |text: &str| Argument::Text(text.to_owned());
        match kind.as_str() {
            "stream" => {
                type Entries = Vec<(Vec<u8>, Vec<Vec<u8>>)>;
                let entries: Entries = redis::cmd("XRANGE")
                    .arg(&key)
                    .arg("-")
                    .arg("+")
                    .query_async(connection)
                    .await
                    .expect("entries");
                for (id, fields) in entries {
                    // The content of an event is never a deadline.
                    let fields = fields
                        .iter()
                        .map(|field| Argument::of(field, u64::MAX - AHEAD));
                    commands.push(
                        [
                            text("XADD"),
                            Argument::of(&key, now),
                            Argument::of(&id, now),
                        ]
                        .into_iter()
                        .chain(fields)
                        .collect(),
                    );
                }
            }
            "hash" => {
                let fields: Vec<Vec<u8>> = redis::cmd("HGETALL")
                    .arg(&key)
                    .query_async(connection)
                    .await
                    .expect("fields");
                let fields = fields.iter().map(|field| Argument::of(field, now));
                commands.push(
                    [text("HSET"), Argument::of(&key, now)]
                        .into_iter()
                        .chain(fields)
                        .collect(),
                );
            }
            "zset" => {
                let query = redis::cmd("ZRANGE")
                    .arg(&key)
                    .arg("0")
                    .arg("-1")
                    .arg("WITHSCORES")
                    .to_owned();
                let members: Vec<(Vec<u8>, f64)> =
                    query.query_async(connection).await.expect("members");
                let members = members.iter().flat_map(|(member, score)| {
                    [
                        Argument::of(format!("{score:.0}").as_bytes(), now),
                        Argument::of(member, u64::MAX - AHEAD),
                    ]
                });
                commands.push(
                    [text("ZADD"), Argument::of(&key, now)]
                        .into_iter()
                        .chain(members)
                        .collect(),
                );
            }
            other => panic!("this test cannot record a {other} yet"),
        }
        let ttl: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(connection)
            .await
            .expect("a TTL");
        if ttl > 0 {
            commands.push(vec![
                text("PEXPIRE"),
                Argument::of(&key, now),
                text(&ttl.to_string()),
            ]);
        }
    }
    commands
}

impl Recording {
    /// Stores the recording again, with keys under this prefix.
    pub(crate) async fn store(&self, connection: &mut impl ConnectionLike, prefix: &str) {
        let now = now(connection).await;
        for command in &self.commands {
            let [name, key, arguments @ ..] = &command[..] else {
                panic!("a command with a key: {command:?}")
            };
            let mut call = redis::Cmd::new();
            call.arg(name.bytes(now));
            let key = key.bytes(now);
            let own = key
                .strip_prefix(self.prefix.as_bytes())
                .expect("a key under the prefix");
            call.arg([prefix.as_bytes(), own].concat());
            for argument in arguments {
                call.arg(argument.bytes(now));
            }
            call.exec_async(connection)
                .await
                .unwrap_or_else(|error| panic!("{error}: {command:?}"));
        }
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        &self
            .tokens
            .iter()
            .find(|token| token.name == name)
            .expect("a token of this name")
            .text
    }

    /// The kinds of stored things: commands, keys, fields, versions of tokens and cursors, without
    /// values.
    pub(crate) fn shape(&self) -> BTreeSet<String> {
        let text = |argument: &Argument| String::from_utf8_lossy(&argument.bytes(0)).into_owned();
        let mut shape = BTreeSet::new();
        for command in &self.commands {
            let (name, key) = (text(&command[0]), text(&command[1]));
            let part = key.split_once('}').map_or(key.as_str(), |(_, part)| part);
            let mut what = format!(
                "{name} {}",
                part.split(':').take(2).collect::<Vec<_>>().join(":")
            );
            let fields = if name == "XADD" {
                &command[3..]
            } else {
                &command[2..]
            };
            if matches!(name.as_str(), "XADD" | "HSET") {
                let fields: BTreeSet<String> = fields.iter().step_by(2).map(text).collect();
                what.extend(fields.iter().flat_map(|field| [" ", field]));
            }
            shape.insert(what);
        }
        shape.extend(
            self.tokens
                .iter()
                .map(|token| format!("token {} of version {}", token.name, &token.text[..2])),
        );
        for Cursor { name, text, .. } in &self.cursors {
            let compact = text
                .split_once('~')
                .map(|(_, compact)| BASE64.decode(compact).expect("the compact form"));
            shape.insert(format!(
                "cursor {name}, compact: {:?}",
                compact.map(|bytes| bytes[0])
            ));
        }
        shape
    }

    /// The name and the text of the file. Each element of a list has its own line, so that people
    /// can read it and see changes.
    pub(crate) fn file(&self) -> (String, String) {
        let Value::Object(members) = serde_json::to_value(self).expect("JSON") else {
            panic!("an object")
        };
        let members = members.iter().map(|(name, value)| match value {
            Value::Array(elements) => {
                let lines: Vec<String> = elements
                    .iter()
                    .map(|element| format!("    {element}"))
                    .collect();
                format!("  {name:?}: [\n{}\n  ]", lines.join(",\n"))
            }
            value => format!("  {name:?}: {value}"),
        });
        let text = format!("{{\n{}\n}}\n", members.collect::<Vec<_>>().join(",\n"));
        (format!("{}-{}.json", self.version, &self.commit[..7]), text)
    }
}

/// An element of a poll's answer.
pub(crate) fn update(element: &Value) -> Update {
    let text = |name: &str| element[name].as_str().map(ToOwned::to_owned);
    Update {
        key: text("key").expect("a key"),
        id: text("id"),
        event: text("event"),
        data: text("data").unwrap_or_default(),
    }
}
