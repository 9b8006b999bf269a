//! Lua values as JSON, and back.
//!
//! What goes through both directions comes back the same: null, empty arrays, integers apart from
//! floats. Arrays that come from JSON have mlua's array metatable, so that an empty one stays an
//! array.

use std::fmt::{self, Write};

use mlua::{Lua, LuaSerdeExt, LuaString, Table, Value};
use serde_json::{Map, Number, Value as Json};

/// Arrays and objects within each other. The same as for text that `serde_json` reads.
pub(in crate::script) const MAX_DEPTH: usize = 127;
/// The bytes of all strings, and eight for every value: a table may contain another one often.
pub(in crate::script) const MAX_BYTES: usize = 16 * 1024 * 1024;
const BYTES_OF_A_VALUE: usize = 8;

/// Why a Lua value has no JSON, and where in the value that is.
#[derive(Debug, thiserror::Error)]
#[error("{}{reason}", Place(.path))]
pub(in crate::script) struct ValueError {
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

/// The JSON of a Lua value.
pub(in crate::script) fn to_json(lua: &Lua, value: &Value) -> Result<Json, ValueError> {
    let mut reader = Reader {
        array: lua.array_metatable(),
        left: MAX_BYTES,
    };
    reader.value(value, 0)
}

struct Reader {
    array: Table,
    left: usize,
}

impl Reader {
    fn value(&mut self, value: &Value, depth: usize) -> Result<Json, ValueError> {
        self.spend(BYTES_OF_A_VALUE)?;
        match value {
            Value::Nil => Ok(Json::Null),
            value if value.is_null() => Ok(Json::Null),
            Value::Boolean(truth) => Ok(Json::Bool(*truth)),
            Value::Integer(number) => Ok(Json::from(*number)),
            Value::Number(number) => match Number::from_f64(*number) {
                Some(number) => Ok(Json::Number(number)),
                None => Err(Reason::Number(*number).into()),
            },
            Value::String(text) => Ok(Json::String(self.text(text)?)),
            Value::Table(_) if depth == MAX_DEPTH => Err(Reason::TooDeep.into()),
            Value::Table(table) => match self.length_of_array(table)? {
                Some(length) => self.array(table, length, depth + 1),
                None => self.object(table, depth + 1),
            },
            other => Err(Reason::Type(other.type_name()).into()),
        }
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
            if !is_index && marked {
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
            let name = match &key {
                Value::String(name) => self.text(name)?,
                Value::Integer(number) => number.to_string(),
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

/// The Lua value of JSON. The memory limit of the Lua state bounds it.
pub(in crate::script) fn from_json(lua: &Lua, json: &Json) -> mlua::Result<Value> {
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
                table.raw_set(index + 1, from_json(lua, element)?)?;
            }
            table.set_metatable(Some(lua.array_metatable()))?;
            Ok(Value::Table(table))
        }
        Json::Object(members) => {
            let table = lua.create_table_with_capacity(0, members.len())?;
            for (name, member) in members {
                table.raw_set(name.as_str(), from_json(lua, member)?)?;
            }
            Ok(Value::Table(table))
        }
    }
}
