//! Which known cause an error of Redis or of the connection has.

use deadpool_redis::redis::{ErrorKind, RedisError};

use crate::store::{Right, StoreError, StoreFault};

/// Characters of an error's own text that are kept for the log: a pipeline repeats it for each of
/// its commands.
const DETAIL_CHARS: usize = 300;

/// The codes with which a server begins an error, as in
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

/// The error as the store reports it.
pub(super) fn failed(error: &RedisError) -> StoreError {
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

/// The same for what a script reports beside its result.
pub(super) fn reported(text: &str) -> StoreError {
    let code = text.split(' ').next().unwrap_or_default();
    match of_reply(code, text) {
        Some(fault) => StoreError::Refused {
            fault,
            detail: short(text),
        },
        None => StoreError::Unavailable(short(text)),
    }
}

/// No answer within the time that readiness has.
pub(super) fn silent() -> StoreError {
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
    let of_pipeline = error.clone().into_server_errors();
    let code = of_pipeline
        .as_ref()
        .and_then(|errors| errors.first())
        .map(|(_, error)| error.code())
        .or(error.code());
    of_reply(code.unwrap_or_default(), text).or_else(|| of_connection(error, text))
}

fn of_reply(code: &str, text: &str) -> Option<StoreFault> {
    // What a user may not do in a script has no code of its own in all versions.
    let in_script =
        text.contains("ACL failure in script") || text.contains("The user executing the script");
    if code == "NOPERM" || in_script {
        return Some(StoreFault::Forbidden(right(text)));
    }
    if text.contains("max number of clients reached") {
        return Some(StoreFault::Connections);
    }
    // Redis 6.2 puts the code into the text where the error is a script's.
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

/// Which right is missing, by the text of the error: Redis gives it no other form.
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

fn of_connection(error: &RedisError, text: &str) -> Option<StoreFault> {
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
    fn what_redis_says_in_each_version_has_its_cause() {
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
                "ERR ACL failure in script: User app has no permissions to run the 'xadd' command script: 1",
                command("xadd"),
            ),
            (
                "ERR ACL failure in script: User app has no permissions to access the 'x' channel script: 1",
                StoreFault::Forbidden(Right::Channels),
            ),
            (
                "ERR ACL failure in script: User app has no permissions to access the 'x' key script: 1",
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
                "NOPERM this user has no permissions to access one of the channels used as arguments",
                StoreFault::Forbidden(Right::Channels),
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: The user executing the script can't run this command or subcommand",
                StoreFault::Forbidden(Right::Command(None)),
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write",
                StoreFault::Replica,
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -MISCONF Redis is configured",
                StoreFault::NotSaved,
            ),
            (
                "ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation",
                StoreFault::WrongType,
            ),
        ];
        for (text, expected) in cases {
            let StoreError::Refused { fault, .. } = reported(text) else {
                panic!("{text}")
            };
            assert_eq!(fault, expected, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_not_passed_on() {
        assert_eq!(right("run the 'x y\n' command"), Right::Command(None));
    }
}
