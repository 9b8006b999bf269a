//! A connection to a database, and what runs on it.

use std::{path::Path, time::Duration};

use mlua::{Lua, Table};
use rusqlite::{
    Batch, Connection, OpenFlags, Statement, fallible_iterator::FallibleIterator, limits::Limit,
};

use super::{
    error::SqliteError,
    guard::{Deadline, authorize},
    parameters::Parameters,
    rows::rows,
};

const MEMORY: &str = ":memory:";
/// A value, and a row.
const MAX_VALUE: i32 = 16 * 1024 * 1024;
const MAX_SQL: i32 = 1024 * 1024;
/// 64 MiB in pages of 4 KiB: for what is in memory, and for temporary tables.
const PAGES_IN_MEMORY: u32 = 16_384;

/// An open database.
pub(super) struct Database {
    connection: Connection,
    deadline: Deadline,
    timeout: Duration,
}

impl Database {
    pub(super) fn open(path: &str, timeout: Duration) -> Result<Self, SqliteError> {
        if path.is_empty() {
            // SQLite would make a temporary file.
            return Err(SqliteError::NoPath);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // A path that begins with `file:` would be a URI, which can name other kinds of storage.
        let mut connection = if path == MEMORY {
            Connection::open_in_memory_with_flags(flags)?
        } else {
            Connection::open_with_flags(Path::new(".").join(path), flags)?
        };
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        // Temporary tables would be files without a limit.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        limit_pages(&connection, "temp")?;
        if path == MEMORY {
            limit_pages(&connection, "main")?;
        }
        let deadline = Deadline::default();
        connection.progress_handler(Deadline::STEPS, Some(deadline.watcher()))?;
        connection.authorizer(Some(authorize))?;
        Ok(Self {
            connection,
            deadline,
            timeout,
        })
    }

    /// Runs one statement, or without parameters any number of them. Returns how many rows they
    /// changed.
    pub(super) fn exec(&self, sql: &str, parameters: &Parameters) -> Result<u64, SqliteError> {
        self.within_deadline(|| {
            let before = self.connection.total_changes();
            if parameters.is_empty() {
                let mut statements = Batch::new(&self.connection, sql);
                while let Some(mut statement) = self.next(&mut statements)? {
                    step_through(&mut statement)?;
                }
            } else {
                let mut statement = self.single(sql)?;
                parameters.bind(&mut statement)?;
                step_through(&mut statement)?;
            }
            Ok(self.connection.total_changes() - before)
        })
    }

    /// Runs one statement. Returns its rows as an array of tables.
    pub(super) fn query(
        &self,
        lua: &Lua,
        sql: &str,
        parameters: &Parameters,
    ) -> Result<Table, SqliteError> {
        self.within_deadline(|| {
            let mut statement = self.single(sql)?;
            parameters.bind(&mut statement)?;
            rows(lua, &mut statement)
        })
    }

    fn single(&self, sql: &str) -> Result<Statement<'_>, SqliteError> {
        let mut statements = Batch::new(&self.connection, sql);
        let statement = self.next(&mut statements)?;
        let statement = statement.ok_or(SqliteError::NoStatement)?;
        match statements.next()? {
            Some(_) => Err(SqliteError::SeveralStatements),
            None => Ok(statement),
        }
    }

    /// The next statement. It may wait for other connections for as long as is left.
    fn next<'connection>(
        &'connection self,
        statements: &mut Batch<'connection, '_>,
    ) -> Result<Option<Statement<'connection>>, SqliteError> {
        let left = self.deadline.left();
        if left.is_zero() {
            return Err(SqliteError::Interrupted);
        }
        self.connection.busy_timeout(left)?;
        Ok(statements.next()?)
    }

    fn within_deadline<T>(
        &self,
        work: impl FnOnce() -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        self.deadline.set(self.timeout);
        let result = work();
        if self.connection.is_autocommit() {
            return result;
        }
        // The next call may belong to another hook. A rollback needs time of its own.
        self.deadline.set(self.timeout);
        self.connection.execute_batch("ROLLBACK")?;
        result.and(Err(SqliteError::OpenTransaction))
    }
}

/// Limits the size of a database that is in memory.
fn limit_pages(connection: &Connection, schema: &str) -> Result<(), SqliteError> {
    connection
        .pragma_update_and_check(Some(schema), "max_page_count", PAGES_IN_MEMORY, |_| Ok(()))?;
    Ok(())
}

/// Runs a statement to its end, and drops the rows that it returns.
fn step_through(statement: &mut Statement<'_>) -> Result<(), SqliteError> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}
