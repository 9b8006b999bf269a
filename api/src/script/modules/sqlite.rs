//! `sqlite`: a database in a file or in memory, where `STREAMER_SCRIPT_SQLITE` allows it.
//!
//! A statement blocks the thread of the scripts, so each has a deadline. It can reach nothing but
//! its own database: no other files, no extensions.

mod database;
mod error;
mod guard;
mod parameters;
mod rows;

use std::{sync::Arc, time::Duration};

use mlua::{
    AnyUserData, Lua, LuaSerdeExt, Table, UserData, UserDataFields, UserDataMethods, Value,
};
use parking_lot::Mutex;

use self::{database::Database, error::SqliteError, parameters::Parameters};
use super::arguments::Function;

const OPEN: Function = Function("sqlite.open");
const EXEC: Function = Function("db:exec");
const QUERY: Function = Function("db:query");
const CLOSE: Function = Function("db:close");
/// Each has open files and memory. What a script no longer uses stays open until Lua collects it.
const MAX_OPEN: usize = 16;

/// `timeout` is the longest time that a call may take.
pub(super) fn load(lua: &Lua, timeout: Duration) -> mlua::Result<Table> {
    let open_databases = Arc::new(());
    let module = lua.create_table()?;
    let open = lua.create_function(move |lua, path: Value| -> mlua::Result<AnyUserData> {
        let path = OPEN.text("path", path)?;
        if Arc::strong_count(&open_databases) > MAX_OPEN {
            return Err(OPEN.too_large("the script", format!("{MAX_OPEN} open databases")));
        }
        let database = Database::open(&path, timeout).map_err(|error| failed(OPEN, &error))?;
        lua.create_userdata(Handle(Mutex::new(Some(Open {
            database,
            _counted: Arc::clone(&open_databases),
        }))))
    })?;
    module.raw_set("open", open)?;
    module.raw_set("null", lua.null())?;
    Ok(module)
}

struct Open {
    database: Database,
    _counted: Arc<()>,
}

/// A database in Lua; none after `close`.
struct Handle(Mutex<Option<Open>>);

impl UserData for Handle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("null", |lua, _| Ok(lua.null()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("exec", |_, handle, (sql, parameters): (Value, Value)| {
            let parameters = Parameters::new(EXEC, parameters)?;
            handle.run(EXEC, sql, |database, sql| database.exec(sql, &parameters))
        });
        methods.add_method("query", |lua, handle, (sql, parameters): (Value, Value)| {
            let parameters = Parameters::new(QUERY, parameters)?;
            handle.run(QUERY, sql, |database, sql| {
                database.query(lua, sql, &parameters)
            })
        });
        methods.add_method("close", |_, Self(open), ()| {
            match open.try_lock() {
                Some(mut open) => drop(open.take()),
                None => return Err(CLOSE.failed("the database is in use")),
            }
            Ok(())
        });
    }
}

impl Handle {
    fn run<T>(
        &self,
        function: Function,
        sql: Value,
        work: impl FnOnce(&Database, &str) -> Result<T, SqliteError>,
    ) -> mlua::Result<T> {
        let sql = function.text("sql", sql)?;
        // A finalizer of the script may run while rows become tables.
        let Some(open) = self.0.try_lock() else {
            return Err(function.failed("the database is in use"));
        };
        match &*open {
            Some(open) => work(&open.database, &sql).map_err(|error| failed(function, &error)),
            None => Err(function.failed("the database is closed")),
        }
    }
}

fn failed(function: Function, error: &SqliteError) -> mlua::Error {
    match error {
        SqliteError::Lua(error) => error.clone(),
        other => function.failed(other.to_string()),
    }
}
