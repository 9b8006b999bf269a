//! Why a database did not do what a script asked for.

use rusqlite::ErrorCode;

/// Why a database did not do what a script asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteError {
    #[error("the path is empty; \":memory:\" is a database in memory")]
    NoPath,
    #[error("it took longer than a call may take")]
    Interrupted,
    #[error("another connection used the database for longer than a call may take")]
    Busy,
    #[error("there is no statement in `sql`")]
    NoStatement,
    #[error("with `params`, `sql` must be one statement")]
    SeveralStatements,
    #[error("a transaction must end in the call that begins it; it was rolled back")]
    OpenTransaction,
    #[error("the result has more than {0}")]
    TooLarge(String),
    #[error("the statement has {expected} parameters, `params` has {found}")]
    ParameterCount { expected: usize, found: usize },
    #[error("`params` has no value for {0}")]
    NoParameter(String),
    #[error("not authorized: a script can't attach files, load extensions or use this pragma")]
    NotAuthorized,
    #[error("{0}")]
    Sqlite(String),
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::AuthorizationForStatementDenied) => return Self::NotAuthorized,
            Some(ErrorCode::OperationInterrupted) => return Self::Interrupted,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return Self::Busy,
            _ => {}
        }
        match &error {
            // Without the SQL, which may be long.
            rusqlite::Error::SqlInputError { msg, .. } => Self::Sqlite(msg.clone()),
            other => Self::Sqlite(other.to_string()),
        }
    }
}
