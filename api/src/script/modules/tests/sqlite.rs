//! `sqlite`: values, files, and what a script can't do.

use std::time::Duration;

use super::{ALL, attempt, errors, lua, run};
use crate::script::modules::Allowed;

#[test]
fn values_survive() {
    run(r#"
      local sqlite, json = require "sqlite", require "json"
      local db = sqlite.open ":memory:"
      assert(db:exec "create table t (v); create index i on t (v)" == 0)
      local function back(value)
        db:exec "delete from t"
        assert(db:exec("insert into t values (?)", {value}) == 1)
        return db:query("select v from t")[1].v
      end
      for _, value in ipairs {1, math.mininteger, 0.5, "", "text ü", "\0\xff", 2^53} do
        assert(back(value) == value and math.type(back(value)) == math.type(value))
      end
      assert(back(true) == 1 and back(false) == 0)
      assert(back(sqlite.null) == sqlite.null and back(db.null) == json.null)
      assert(json(db:query "select null as a, 1 as b") == '[{"a":null,"b":1}]')
      assert(json(db:query "select 1 where false") == '[]')
    "#);
}

#[test]
fn parameters_go_by_place_or_by_name() {
    run(r#"
      local db = require "sqlite".open ":memory:"
      db:exec "create table t (a, b)"
      db:exec("insert into t values (:a, @b)", {a = 1, b = "'); drop table t; --"})
      db:exec("insert into t values ($b, $b)", {b = 2})
      db:exec("insert into t values (?2, ?1)", {3, 4})
      local rows = db:query("select * from t where a > ? order by a", {0})
      assert(#rows == 3 and rows[1].b == "'); drop table t; --")
      assert(rows[2].a == 2 and rows[2].b == 2 and rows[3].a == 4 and rows[3].b == 3)
      assert(db:exec "update t set a = 0" == 3)
      assert(db:query("insert into t values (9, 9) returning a")[1].a == 9)
    "#);
    let open = "local db = require 'sqlite'.open ':memory:'; ";
    for (script, expected) in [
        (
            "db:query('select ?', {1, 2})",
            "the statement has 1 parameters, `params` has 2",
        ),
        (
            "db:query('select ?, ?', {1})",
            "the statement has 2 parameters, `params` has 1",
        ),
        (
            "db:query('select ?')",
            "the statement has 1 parameters, `params` has 0",
        ),
        (
            "db:query('select :x', {y = 1})",
            "`params` has no value for :x",
        ),
        (
            "db:query('select ?', {{}})",
            "db:query: `params` must be strings, numbers",
        ),
        (
            "db:query('select 1', 1)",
            "db:query: `params` must be a table or nil",
        ),
        (
            "db:query('select 1; select 2')",
            "with `params`, `sql` must be one statement",
        ),
        (
            "db:exec('select ?; select 2', {1})",
            "with `params`, `sql` must be one statement",
        ),
        ("db:query(' -- nothing')", "there is no statement in `sql`"),
        (
            "db:query 'selekt'",
            "db:query: near \"selekt\": syntax error",
        ),
        (
            "db:exec 'select * from none'",
            "db:exec: no such table: none",
        ),
        (
            "db:close(); db:exec 'select 1'",
            "db:exec: the database is closed",
        ),
        ("require 'sqlite'.open ''", "sqlite.open: the path is empty"),
        (
            "require 'sqlite'.open '/none/none/x.db'",
            "sqlite.open: unable to open database file",
        ),
    ] {
        errors(&[(&format!("{open}{script}"), expected)]);
    }
}

#[test]
fn a_file_is_shared_by_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    // A name that would be a URI with a mode, were it read as one.
    let path = folder.path().join("a.db?mode=memory");
    run(&format!(
        r#"
        local sqlite, path = require "sqlite", {path:?}
        local one, other = sqlite.open(path), sqlite.open(path)
        one:exec "create table t (v); insert into t values (5)"
        assert(other:query("select v from t")[1].v == 5)
        "#
    ));
    assert!(path.exists());
    let uri = format!("file:{}?mode=memory", folder.path().join("b.db").display());
    errors(&[(
        &format!("require 'sqlite'.open '{uri}'"),
        "unable to open database file",
    )]);
}

#[test]
fn a_statement_ends_at_its_deadline() {
    let allowed = Allowed {
        timeout: Duration::from_millis(200),
        ..ALL
    };
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) ";
    for script in [
        format!("db:query '{endless} select count(*) from n'"),
        format!("db:exec '{endless} insert into t select i from n where i < 0'"),
        format!("db:exec('select 1;' .. '{endless} select count(*) from n')"),
    ] {
        let script = format!(
            "local db = require 'sqlite'.open ':memory:'; db:exec 'create table t (v)'
             local ok, err = pcall(function() {script} end)
             -- The database is still of use.
             db:exec 'insert into t values (1)'
             error(err)"
        );
        let message = attempt(&lua(&allowed), &script).unwrap_err().to_string();
        assert!(
            message.contains("it took longer than a call may take"),
            "{message}"
        );
    }
}

#[test]
fn a_locked_database_is_waited_for_until_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locked.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("create table t (v); begin immediate; insert into t values (1)")
        .unwrap();
    let allowed = Allowed {
        timeout: Duration::from_millis(200),
        ..ALL
    };
    let script = format!("require 'sqlite'.open({path:?}):exec 'insert into t values (2)'");
    let message = attempt(&lua(&allowed), &script).unwrap_err().to_string();
    assert!(
        message.contains("another connection used the database"),
        "{message}"
    );
    other.execute_batch("commit").unwrap();
    attempt(&lua(&ALL), &script).unwrap();
}

#[test]
fn a_locked_database_is_of_use_when_the_other_connection_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locked.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("create table t (v); begin immediate; insert into t values (1)")
        .unwrap();
    let done = std::thread::spawn(move || {
        // The script waits meanwhile. On a busy machine it may begin later, and pass as well.
        std::thread::sleep(Duration::from_millis(300));
        other.execute_batch("commit").unwrap();
    });
    run(&format!(
        "require 'sqlite'.open({path:?}):exec 'insert into t values (2)'"
    ));
    done.join().unwrap();
}

#[test]
fn a_script_reaches_nothing_but_its_database() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    let open = "local db = require 'sqlite'.open ':memory:'; db:exec 'create table t (v)'; ";
    for sql in [
        format!("attach '{}' as other", other.display()),
        format!("vacuum into '{}'", other.display()),
        "select load_extension('x')".to_owned(),
        "pragma max_page_count = 1000000".to_owned(),
        "pragma temp_store_directory = '/tmp'".to_owned(),
        "pragma writable_schema = 1".to_owned(),
        "pragma busy_timeout = 100000".to_owned(),
        "pragma journal_mode = OFF".to_owned(),
    ] {
        errors(&[(&format!("{open}db:exec([[{sql}]])"), "not authorized")]);
    }
    assert!(!other.exists());
    run(&format!(
        "{open} db:exec 'pragma foreign_keys = on; pragma table_info(t)'"
    ));
}

#[test]
fn a_transaction_is_within_one_call() {
    run(r#"
      local db = require "sqlite".open ":memory:"
      db:exec "create table t (v unique); begin; insert into t values (1); commit"
      for _, sql in ipairs {
        "begin; insert into t values (2)",
        "begin; insert into t values (3); insert into t values (1); commit",
      } do
        assert(not pcall(db.exec, db, sql))
        assert(#db:query "select * from t" == 1)
        db:exec "insert into t values (4)"
        db:exec "delete from t where v = 4"
      end
    "#);
    errors(&[(
        "require 'sqlite'.open(':memory:'):exec 'begin'",
        "a transaction must end in the call that begins it",
    )]);
}

#[test]
fn results_and_memory_are_limited() {
    let numbers = "with recursive n(i) as (select 1 union all select i + 1 from n limit";
    let open = "local db = require 'sqlite'.open ':memory:'; db:exec 'create table t (v)'; ";
    for (script, expected) in [
        (
            format!("db:query '{numbers} 10001) select i from n'"),
            "the result has more than 10000 rows",
        ),
        (
            format!("db:query '{numbers} 20) select zeroblob(1000000) from n'"),
            "the result has more than 16777216 bytes",
        ),
        (
            format!("db:exec '{numbers} 70) insert into t select zeroblob(1000000) from n'"),
            "database or disk is full",
        ),
        (
            format!(
                "db:exec 'create temp table u as {numbers} 70) select randomblob(1000000) from n'"
            ),
            "database or disk is full",
        ),
        (
            "db:exec(\"insert into t values (zeroblob(17000000))\")".to_owned(),
            "string or blob too big",
        ),
        (
            "local all = {}; for i = 1, 16 do all[i] = require 'sqlite'.open ':memory:' end"
                .to_owned(),
            "sqlite.open: the script has more than 16 open databases",
        ),
    ] {
        errors(&[(&format!("{open}{script}"), expected)]);
    }
    run(&format!(
        "{open} assert(#db:query '{numbers} 10000) select i from n' == 10000)"
    ));
}

#[test]
fn a_finalizer_that_uses_the_database_does_not_block() {
    run(r#"
      local db = require "sqlite".open ":memory:"
      local query = [[
        with recursive n(i) as (select 1 union all select i + 1 from n limit 10000) select i from n
      ]]
      local query_error, close_error
      local function arm()
        setmetatable({}, {__gc = function()
          query_error = tostring(select(2, pcall(db.query, db, "select 1")))
          -- Lua may also collect between two queries.
          if not query_error:find "in use" then return arm() end
          close_error = tostring(select(2, pcall(db.close, db)))
        end})
      end
      arm()
      while not close_error do db:query(query) end
      assert(query_error:find "db:query: the database is in use", query_error)
      assert(close_error:find "db:close: the database is in use", close_error)
    "#);
}
