//! JSON values as values of Lua, and back. Both are bounded: a table that contains itself is an
//! error.

use mlua::{Lua, LuaSerdeExt, Result, Table, Value as LuaValue};
use serde_json::{Map, Number, Value};

/// The deepest nesting.
const MAX_DEPTH: usize = 64;

/// The most values of one table, those of its tables included.
const MAX_VALUES: usize = 100_000;

/// Makes a value of Lua. A null is `nil` as a member of an object, and `json.null` in an array.
pub(super) fn to_lua(lua: &Lua, value: &Value) -> Result<LuaValue> {
    Ok(match value {
        Value::Null => LuaValue::Nil,
        Value::Bool(flag) => LuaValue::Boolean(*flag),
        Value::Number(number) => number.as_i64().map_or_else(
            || LuaValue::Number(number.as_f64().unwrap_or(f64::NAN)),
            LuaValue::Integer,
        ),
        Value::String(text) => LuaValue::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in (1..).zip(items) {
                let item = match item {
                    Value::Null => lua.null(),
                    item => to_lua(lua, item)?,
                };
                table.raw_seti(index, item)?;
            }
            table.set_metatable(Some(lua.array_metatable()))?;
            LuaValue::Table(table)
        }
        Value::Object(members) => LuaValue::Table(to_table(lua, members)?),
    })
}

/// Makes a table of an object.
pub(super) fn to_table(lua: &Lua, members: &Map<String, Value>) -> Result<Table> {
    let table = lua.create_table_with_capacity(0, members.len())?;
    for (name, value) in members {
        table.raw_set(name.as_str(), to_lua(lua, value)?)?;
    }
    Ok(table)
}

/// Makes a JSON value. Leaves out what JSON does not have: functions, coroutines, userdata.
///
/// Errors: text that is not UTF-8; too many values, or too deep.
pub(super) fn to_json(lua: &Lua, value: &LuaValue) -> Result<Value> {
    let mut reader = Reader {
        array: lua.array_metatable(),
        left: MAX_VALUES,
    };
    Ok(reader.value(value, 0)?.unwrap_or(Value::Null))
}

struct Reader {
    /// The metatable that marks an array.
    array: Table,
    left: usize,
}

impl Reader {
    fn value(&mut self, value: &LuaValue, depth: usize) -> Result<Option<Value>> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            mlua::Error::runtime(format!("a table has more than {MAX_VALUES} values"))
        })?;
        Ok(match value {
            LuaValue::Nil => None,
            value if value.is_null() => Some(Value::Null),
            LuaValue::Boolean(flag) => Some(Value::Bool(*flag)),
            LuaValue::Integer(number) => Some(Value::from(*number)),
            LuaValue::Number(number) => Some(Number::from_f64(*number).into()),
            LuaValue::String(text) => Some(Value::String(utf8(text)?)),
            LuaValue::Table(table) if depth < MAX_DEPTH => Some(self.table(table, depth + 1)?),
            LuaValue::Table(_) => {
                return Err(mlua::Error::runtime(format!(
                    "a table is nested deeper than {MAX_DEPTH}, or contains itself"
                )));
            }
            _ => None,
        })
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Value> {
        let length = table.raw_len();
        let is_marked = table.metatable().is_some_and(|found| found == self.array);
        let mut members = Map::new();
        let mut others = 0_usize;
        let mut items = Vec::new();
        for pair in table.pairs::<LuaValue, LuaValue>() {
            let (name, value) = pair?;
            match name {
                LuaValue::Integer(index) if is_index(index, length) => items.push((index, value)),
                name => {
                    others += 1;
                    if let (Some(name), Some(value)) = (key(&name)?, self.value(&value, depth)?) {
                        members.insert(name, value);
                    }
                }
            }
        }
        if others == 0 && (is_marked || !items.is_empty()) {
            items.sort_unstable_by_key(|(index, _)| *index);
            let items = items.iter().map(|(_, item)| self.value(item, depth));
            let items = items.map(|item| Ok(item?.unwrap_or(Value::Null)));
            return items.collect::<Result<Vec<_>>>().map(Value::Array);
        }
        for (index, item) in &items {
            if let Some(item) = self.value(item, depth)? {
                members.insert(index.to_string(), item);
            }
        }
        Ok(Value::Object(members))
    }
}

fn is_index(index: i64, length: usize) -> bool {
    usize::try_from(index).is_ok_and(|index| (1..=length).contains(&index))
}

/// The name of a member; none of a key that is neither text nor a number.
fn key(name: &LuaValue) -> Result<Option<String>> {
    Ok(match name {
        LuaValue::String(text) => Some(utf8(text)?),
        LuaValue::Integer(number) => Some(number.to_string()),
        LuaValue::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn utf8(text: &mlua::LuaString) -> Result<String> {
    let text = text.to_str().map_err(|_| {
        mlua::Error::runtime("a string is not UTF-8: encode bytes with base64, for example")
    })?;
    Ok((*text).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn back(lua: &Lua, code: &str) -> Result<Value> {
        to_json(lua, &lua.load(code).eval()?)
    }

    #[test]
    fn json_survives_the_way_to_lua_and_back() {
        let lua = Lua::new();
        let value = json!({
            "text": "ü", "int": 3, "float": 0.5, "big": 9_007_199_254_740_993_i64, "yes": true,
            "list": [1, null, "x", [], {}], "none": [], "object": {}, "nested": {"a": [{"b": 1}]},
        });
        assert_eq!(
            to_json(&lua, &to_lua(&lua, &value).unwrap()).unwrap(),
            value
        );
    }

    #[test]
    fn tables_become_arrays_and_objects() {
        let lua = Lua::new();
        for (code, value) in [
            ("return {1, 2}", json!([1, 2])),
            ("return {}", json!({})),
            ("return {1, a = 2}", json!({"1": 1, "a": 2})),
            ("return {[5] = 1}", json!({"5": 1})),
            ("return {f = print, a = 1}", json!({"a": 1})),
            ("return {a = 0/0}", json!({"a": null})),
        ] {
            assert_eq!(back(&lua, code).unwrap(), value, "{code}");
        }
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        let lua = Lua::new();
        for (code, wanted) in [
            ("local t = {} t.t = t return t", "contains itself"),
            ("return {'\\xff'}", "not UTF-8"),
            (
                "local t = {} for n = 1, 100001 do t[n] = n end return t",
                "100000",
            ),
            (
                "local t = {} for n = 1, 10000 do t = {t} end return t",
                "deeper than 64",
            ),
        ] {
            let error = back(&lua, code).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
