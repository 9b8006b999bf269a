//! Finds the known cause of an error of Redis or of the connection.

use deadpool_redis::redis::{ErrorKind, RedisError};

use crate::store::{Right, StoreError, StoreFault};

/// Characters of an error's text that are kept for the log. A pipeline repeats the text for each of
/// its commands.
const DETAIL_CHARS: usize = 300;

/// The codes at the beginning of a server's error, as in
/// <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>.
const CODES: [(&str, StoreFault); 13] = [
    ("WRONGPASS", StoreFault::Credentials),
    ("NOAUTH", StoreFault::Credentials),
    ("DENIED", StoreFault::Protected),
    ("READONLY", StoreFault::Replica),
    ("NOREPLICAS", StoreFault::TooFewReplicas),
    ("MISCONF", StoreFault::NotSaved),
    ("OOM", StoreFault::Full),
    ("LOADING", StoreFault::Loading),
    ("BUSY", StoreFault::Busy),
    ("CLUSTERDOWN", StoreFault::ClusterDown),
    ("MASTERDOWN", StoreFault::Replica),
    ("WRONGTYPE", StoreFault::WrongType),
    ("NOPERM", StoreFault::Forbidden(Right::Command(None))),
];

/// The error of a command, as the store reports it.
pub(super) fn from_redis(error: &RedisError) -> StoreError {
    let text = error.to_string();
    match fault(error, &text) {
        Some(fault) => StoreError::Refused {
            fault,
            detail: short(&text),
        },
        None => StoreError::Unavailable(short(&text)),
    }
}

fn short(text: &str) -> String {
    text.chars().take(DETAIL_CHARS).collect()
}

/// The error that a script reports beside its result, as the store reports it.
pub(super) fn from_script(text: &str) -> StoreError {
    let code = text.split(' ').next().unwrap_or_default();
    match from_reply(code, text) {
        Some(fault) => StoreError::Refused {
            fault,
            detail: short(text),
        },
        None => StoreError::Unavailable(short(text)),
    }
}

/// The error of a readiness check that received no answer in time.
pub(super) fn no_answer() -> StoreError {
    StoreError::Refused {
        fault: StoreFault::Silent,
        detail: "no answer within a second".to_owned(),
    }
}

fn fault(error: &RedisError, text: &str) -> Option<StoreFault> {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Some(StoreFault::Credentials);
    }
    if text.contains("refused to switch database") || text.contains("DB index is out of range") {
        return Some(StoreFault::Database);
    }
    let in_pipeline = error.clone().into_server_errors();
    let code = in_pipeline
        .as_ref()
        .and_then(|errors| errors.first())
        .map(|(_, error)| error.code())
        .or(error.code());
    from_reply(code.unwrap_or_default(), text).or_else(|| from_connection(error, text))
}

fn from_reply(code: &str, text: &str) -> Option<StoreFault> {
    // Not all versions have a code of its own for a missing right in a script.
    let in_script =
        text.contains("ACL failure in script") || text.contains("The user executing the script");
    if code == "NOPERM" || in_script {
        return Some(StoreFault::Forbidden(right(text)));
    }
    if text.contains("max number of clients reached") {
        return Some(StoreFault::Connections);
    }
    // Redis 6.2 puts the code of a script's error into the text.
    let is = |known: &str| {
        code == known
            || text.contains(&format!("-{known} "))
            || text.contains(&format!(": {known} "))
    };
    CODES
        .iter()
        .find(|(known, _)| is(known))
        .map(|(_, fault)| fault.clone())
}

/// Finds the missing right in the text of the error, because Redis reports it nowhere else.
fn right(text: &str) -> Right {
    if ["' channel", "a channel", "channels", "the channel"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        return Right::Channels;
    }
    if ["' key", "a key", "keys"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        return Right::Keys;
    }
    let name = text
        .split_once("run the '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| name);
    let is_name = |name: &&str| {
        name.len() < 40
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"|-_".contains(&byte))
    };
    Right::Command(name.filter(is_name).map(str::to_owned))
}

fn from_connection(error: &RedisError, text: &str) -> Option<StoreFault> {
    if error.is_connection_refusal() {
        Some(StoreFault::NotListening)
    } else if error.is_timeout() {
        Some(StoreFault::Silent)
    } else if text.contains("failed to lookup address") {
        Some(StoreFault::UnknownHost)
    } else if ["certificate", "corrupt message", "handshake", "TLS"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        Some(StoreFault::Tls)
    } else if error.is_connection_dropped() {
        Some(StoreFault::Closed)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_an_error_has_its_cause() {
        let command = |name: &str| StoreFault::Forbidden(Right::Command(Some(name.to_owned())));
        let cases = [
            // 7.0 and later.
            (
                "NOPERM User app has no permissions to run the 'evalsha' command",
                command("evalsha"),
            ),
            (
                "NOPERM No permissions to access a key",
                StoreFault::Forbidden(Right::Keys),
            ),
            (
                "NOPERM No permissions to access a channel",
                StoreFault::Forbidden(Right::Channels),
            ),
            (
                "ERR ACL failure in script: User app has no permissions to run the \
                 'xadd' command script: 1",
                command("xadd"),
            ),
            (
                "ERR ACL failure in script: User app has no permissions to access the \
                 'x' channel script: 1",
                StoreFault::Forbidden(Right::Channels),
            ),
            (
                "ERR ACL failure in script: User app has no permissions to access the \
                 'x' key script: 1",
                StoreFault::Forbidden(Right::Keys),
            ),
            (
                "NOREPLICAS Not enough good replicas to write. script: 1, on @user_script:1.",
                StoreFault::TooFewReplicas,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                StoreFault::Full,
            ),
            // 6.2.
            (
                "NOPERM this user has no permissions to run the 'xadd' command or its subcommand",
                command("xadd"),
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                StoreFault::Forbidden(Right::Keys),
            ),
            (
                "NOPERM this user has no permissions to access one of the channels \
                 used as arguments",
                StoreFault::Forbidden(Right::Channels),
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: \
                 The user executing the script can't run this command or subcommand",
                StoreFault::Forbidden(Right::Command(None)),
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: \
                 @user_script: 1: -READONLY You can't write",
                StoreFault::Replica,
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: \
                 @user_script: 1: -MISCONF Redis is configured",
                StoreFault::NotSaved,
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation",
                StoreFault::WrongType,
            ),
        ];
        for (text, expected) in cases {
            let StoreError::Refused { fault, .. } = from_script(text) else {
                panic!("{text}")
            };
            assert_eq!(fault, expected, "{text}");
        }
    }

    #[test]
    fn text_that_is_not_the_name_of_a_command_is_left_out() {
        assert_eq!(right("run the 'x y\n' command"), Right::Command(None));
    }
}
