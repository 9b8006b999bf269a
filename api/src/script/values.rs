//! Lua values as JSON, and back.
//!
//! What goes through both directions comes back the same: null, empty arrays, integers apart from
//! floats. Arrays that come from JSON have mlua's array metatable, so that an empty one stays an
//! array.

use std::fmt::{self, Write};

use mlua::{Lua, LuaSerdeExt, LuaString, Table, Value};
use serde_json::{Map, Number, Value as Json};

/// Arrays and objects within each other. The same as for text that `serde_json` reads.
pub(super) const MAX_DEPTH: usize = 127;
/// The bytes of all strings, and eight for every value: a table may contain another one often.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
const BYTES_OF_A_VALUE: usize = 8;

/// Why a Lua value has no JSON, and where in the value that is.
#[derive(Debug, thiserror::Error)]
#[error("{}{reason}", Place(.path))]
pub(super) struct ValueError {
    /// Keys and indexes, the innermost first.
    path: Vec<String>,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("JSON has no {0}")]
    Type(&'static str),
    #[error("JSON has no number {0}")]
    Number(f64),
    #[error("a string is not UTF-8; encode bytes with base64")]
    NotUtf8,
    #[error("a table has a {0} as key; JSON has strings only")]
    Key(&'static str),
    #[error("a table has the key {0} twice, as a string and as a number")]
    TwoKeys(String),
    #[error("an array has the key {0}, which is not one of its indexes")]
    NotAnIndex(String),
    #[error("it has more than {MAX_DEPTH} levels; a table may contain itself")]
    TooDeep,
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

impl<T: Into<Reason>> From<T> for ValueError {
    fn from(reason: T) -> Self {
        Self {
            path: Vec::new(),
            reason: reason.into(),
        }
    }
}

/// The place in a value, as one would write it in Lua.
struct Place<'a>(&'a [String]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The place of an error in depths says little.
        const SHOWN: usize = 8;
        if self.0.is_empty() {
            return Ok(());
        }
        formatter.write_str("at ")?;
        for step in self.0.iter().rev().take(SHOWN) {
            formatter.write_str(step)?;
        }
        formatter.write_str(if self.0.len() > SHOWN { "…: " } else { ": " })
    }
}

/// The JSON of a Lua value. What JSON does not have is an error.
pub(super) fn to_json(lua: &Lua, value: &Value) -> Result<Json, ValueError> {
    Reader::new(lua, false).value(value, 0)
}

/// The JSON of a table that a hook keeps or returns. Leaves out what JSON does not have: such a
/// table may hold functions for the script's own use. Numbers without JSON are null.
pub(super) fn to_json_part(lua: &Lua, value: &Value) -> Result<Json, ValueError> {
    Reader::new(lua, true).value(value, 0)
}

struct Reader {
    array: Table,
    left: usize,
    /// Leaves out what JSON does not have.
    leaves_out: bool,
}

impl Reader {
    fn new(lua: &Lua, leaves_out: bool) -> Self {
        Self {
            array: lua.array_metatable(),
            left: MAX_BYTES,
            leaves_out,
        }
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<Json, ValueError> {
        self.spend(BYTES_OF_A_VALUE)?;
        match value {
            Value::Nil => Ok(Json::Null),
            value if value.is_null() => Ok(Json::Null),
            Value::Boolean(truth) => Ok(Json::Bool(*truth)),
            Value::Integer(number) => Ok(Json::from(*number)),
            Value::Number(number) => match Number::from_f64(*number) {
                Some(number) => Ok(Json::Number(number)),
                None if self.leaves_out => Ok(Json::Null),
                None => Err(Reason::Number(*number).into()),
            },
            Value::String(text) => Ok(Json::String(self.text(text)?)),
            Value::Table(_) if depth == MAX_DEPTH => Err(Reason::TooDeep.into()),
            Value::Table(table) => match self.length_of_array(table)? {
                Some(length) => self.array(table, length, depth + 1),
                None => self.object(table, depth + 1),
            },
            _ if self.leaves_out => Ok(Json::Null),
            other => Err(Reason::Type(other.type_name()).into()),
        }
    }

    /// Whether JSON has no values of this type.
    fn is_foreign(value: &Value) -> bool {
        use Value::{Error, Function, LightUserData, Thread, UserData};
        let is_foreign = matches!(
            value,
            Function(_) | Thread(_) | UserData(_) | LightUserData(_) | Error(_)
        );
        is_foreign && !value.is_null()
    }

    /// How many elements the array has; none if the table is an object. A table is an array if its
    /// keys are exactly 1 to n, or if it has the metatable of arrays.
    fn length_of_array(&self, table: &Table) -> Result<Option<usize>, ValueError> {
        let length = table.raw_len();
        let marked = table.metatable().is_some_and(|own| own == self.array);
        if length == 0 && !marked {
            return Ok(None);
        }
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(Reason::from)?;
            let is_index = matches!(&key, Value::Integer(index)
                if usize::try_from(*index).is_ok_and(|index| (1..=length).contains(&index)));
            if !is_index && marked && !self.leaves_out {
                let key = key.to_string().unwrap_or_default();
                return Err(Reason::NotAnIndex(key).into());
            }
            if !is_index {
                return Ok(None);
            }
        }
        Ok(Some(length))
    }

    fn array(&mut self, table: &Table, length: usize, depth: usize) -> Result<Json, ValueError> {
        // The length is not trusted: a hole may make it large.
        let mut elements = Vec::new();
        for index in 1..=length {
            let element: Value = table.raw_get(index).map_err(Reason::from)?;
            elements.push(at(self.value(&element, depth), || format!("[{index}]"))?);
        }
        Ok(Json::Array(elements))
    }

    fn object(&mut self, table: &Table, depth: usize) -> Result<Json, ValueError> {
        let mut members = Map::new();
        for pair in table.pairs::<Value, Value>() {
            let (key, member) = pair.map_err(Reason::from)?;
            if self.leaves_out && Self::is_foreign(&member) {
                continue;
            }
            let name = match &key {
                Value::String(name) => self.text(name)?,
                Value::Integer(number) => number.to_string(),
                _ if self.leaves_out => continue,
                other => return Err(Reason::Key(other.type_name()).into()),
            };
            let member = at(self.value(&member, depth), || step(&name))?;
            if members.contains_key(&name) {
                return Err(Reason::TwoKeys(name).into());
            }
            members.insert(name, member);
        }
        Ok(Json::Object(members))
    }

    fn text(&mut self, text: &LuaString) -> Result<String, ValueError> {
        self.spend(text.as_bytes().len())?;
        match text.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Reason::NotUtf8.into()),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ValueError> {
        self.left = self.left.checked_sub(bytes).ok_or(Reason::TooLarge)?;
        Ok(())
    }
}

fn at<T>(result: Result<T, ValueError>, step: impl FnOnce() -> String) -> Result<T, ValueError> {
    result.map_err(|mut error| {
        error.path.push(step());
        error
    })
}

fn step(name: &str) -> String {
    let mut step = String::from(".");
    for character in name.chars().take(32) {
        // Writing to a string can't fail.
        let _ = write!(step, "{}", character.escape_debug());
    }
    step
}

impl From<ValueError> for mlua::Error {
    fn from(error: ValueError) -> Self {
        Self::runtime(error.to_string())
    }
}

/// The Lua value of JSON, with null as `json.null`. The memory limit of the Lua state bounds it.
pub(super) fn from_json(lua: &Lua, json: &Json) -> mlua::Result<Value> {
    Writer { lua, nil: false }.value(json)
}

/// The argument of a hook. An object has no member where JSON has null, so that scripts can ask
/// `if sub.last_event_id`.
pub(super) fn argument(lua: &Lua, json: &Json) -> mlua::Result<Value> {
    match json {
        Json::Null => Ok(Value::Nil),
        json => Writer { lua, nil: true }.value(json),
    }
}

struct Writer<'a> {
    lua: &'a Lua,
    /// A member that is null is nil.
    nil: bool,
}

impl Writer<'_> {
    fn value(&self, json: &Json) -> mlua::Result<Value> {
        let lua = self.lua;
        match json {
            Json::Null => Ok(lua.null()),
            Json::Bool(truth) => Ok(Value::Boolean(*truth)),
            // Lua has no integers above 2⁶³ - 1. As everywhere in Lua, such a number is a float.
            Json::Number(number) => Ok(number.as_i64().map_or_else(
                || Value::Number(number.as_f64().unwrap_or(f64::INFINITY)),
                Value::Integer,
            )),
            Json::String(text) => Ok(Value::String(lua.create_string(text)?)),
            Json::Array(elements) => {
                let table = lua.create_table_with_capacity(elements.len(), 0)?;
                for (index, element) in elements.iter().enumerate() {
                    table.raw_set(index + 1, self.value(element)?)?;
                }
                table.set_metatable(Some(lua.array_metatable()))?;
                Ok(Value::Table(table))
            }
            Json::Object(members) => {
                let table = lua.create_table_with_capacity(0, members.len())?;
                for (name, member) in members {
                    if !(self.nil && member.is_null()) {
                        table.raw_set(name.as_str(), self.value(member)?)?;
                    }
                }
                Ok(Value::Table(table))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(lua: &Lua, code: &str) -> Json {
        to_json_part(lua, &lua.load(code).eval().unwrap()).unwrap()
    }

    #[test]
    fn json_survives_the_way_to_lua_and_back() {
        let lua = Lua::new();
        let value = json!({
            "text": "ü", "int": 3, "float": 0.5, "big": 9_007_199_254_740_993_i64, "yes": true,
            "list": [1, null, "x", [], {}], "none": [], "object": {}, "nested": {"a": [{"b": 1}]},
        });
        for in_lua in [from_json(&lua, &value), argument(&lua, &value)] {
            let in_lua = in_lua.unwrap();
            assert_eq!(to_json(&lua, &in_lua).unwrap(), value);
            assert_eq!(to_json_part(&lua, &in_lua).unwrap(), value);
        }
    }

    #[test]
    fn a_member_that_is_null_is_nil_for_a_hook_only() {
        let lua = Lua::new();
        let value = json!({"a": null, "b": [null]});
        let back = |in_lua: mlua::Result<Value>| to_json(&lua, &in_lua.unwrap()).unwrap();
        assert_eq!(back(from_json(&lua, &value)), value);
        assert_eq!(back(argument(&lua, &value)), json!({"b": [null]}));
        assert!(argument(&lua, &Json::Null).unwrap().is_nil());
    }

    #[test]
    fn what_json_does_not_have_is_left_out_for_a_hook_only() {
        let lua = Lua::new();
        for (code, value) in [
            ("return {1, 2}", json!([1, 2])),
            ("return {}", json!({})),
            ("return {1, a = 2}", json!({"1": 1, "a": 2})),
            ("return {[5] = 1}", json!({"5": 1})),
        ] {
            let in_lua: Value = lua.load(code).eval().unwrap();
            assert_eq!(to_json(&lua, &in_lua).unwrap(), value, "{code}");
            assert_eq!(part(&lua, code), value, "{code}");
        }
        for (code, value) in [
            ("return {f = print, a = 1}", json!({"a": 1})),
            ("return {print, 1}", json!([null, 1])),
            ("return {[print] = 1, [1.5] = 2, a = 1}", json!({"a": 1})),
            ("return {a = 0/0}", json!({"a": null})),
            ("return print", json!(null)),
        ] {
            let in_lua: Value = lua.load(code).eval().unwrap();
            to_json(&lua, &in_lua).unwrap_err();
            assert_eq!(part(&lua, code), value, "{code}");
        }
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        let lua = Lua::new();
        for (code, wanted) in [
            ("local t = {} t.t = t return t", "contain itself"),
            ("return {'\\xff'}", "not UTF-8"),
            (
                "local t = {} for n = 1, 10000 do t = {t} end return t",
                "127 levels",
            ),
            (
                "local t = {} for n = 1, 21 do t = {t, t} end return t",
                "bytes",
            ),
        ] {
            let in_lua: Value = lua.load(code).eval().unwrap();
            for error in [to_json(&lua, &in_lua), to_json_part(&lua, &in_lua)] {
                let error = error.unwrap_err().to_string();
                assert!(error.contains(wanted), "{error}");
            }
        }
    }
}
