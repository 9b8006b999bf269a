//! `url`: URLs from parts and back, and queries from tables and back.
//!
//! Percent-encoded bytes need not be UTF-8, so queries are read and written as bytes.

use mlua::{Lua, LuaString, Table, Value};
use percent_encoding::percent_decode;
use url::{Position, Url, form_urlencoded};

use super::arguments::Function;

const ENCODE: Function = Function("url.encode");
const DECODE: Function = Function("url.decode");
const QUOTE: Function = Function("url.quote");
const UNQUOTE: Function = Function("url.unquote");
/// A URL or a query has at most so many bytes.
const MAX_BYTES: usize = 1024 * 1024;
const PARTS: [&str; 9] = [
    "scheme", "username", "password", "host", "port", "path", "query", "fragment", "args",
];

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    module.raw_set("encode", lua.create_function(encode)?)?;
    module.raw_set("decode", lua.create_function(decode)?)?;
    let quote = lua.create_function(|lua, arguments: Value| {
        let arguments = QUOTE.table("args", arguments)?;
        lua.create_string(query_of(QUOTE, &arguments)?)
    })?;
    module.raw_set("quote", quote)?;
    let unquote = lua.create_function(|lua, query: Value| {
        let query = UNQUOTE.bytes("query", query)?;
        limit(UNQUOTE, query.as_bytes().len())?;
        arguments_of(lua, &query.as_bytes())
    })?;
    module.raw_set("unquote", unquote)?;
    Ok(module)
}

fn limit(function: Function, length: usize) -> mlua::Result<()> {
    if length > MAX_BYTES {
        return Err(function.too_large("the URL or query", format!("{MAX_BYTES} bytes")));
    }
    Ok(())
}

fn encode(lua: &Lua, parts: Value) -> mlua::Result<LuaString> {
    let parts = ENCODE.table("parts", parts)?;
    ENCODE.only(&parts, &PARTS)?;
    let part = |name: &'static str| -> mlua::Result<Option<String>> {
        match parts.raw_get(name)? {
            Value::Nil => Ok(None),
            value => ENCODE.text(name, value).map(Some),
        }
    };
    let scheme = part("scheme")?.unwrap_or_else(|| "http".to_owned());
    let host = part("host")?.ok_or_else(|| ENCODE.failed("the parts have no `host`"))?;
    let mut url = base(&scheme, &host)?;
    // These three fail for URLs without a host only, such as `mailto:`.
    let credentials = url.set_username(&part("username")?.unwrap_or_default());
    let credentials = credentials.and(url.set_password(part("password")?.as_deref()));
    credentials.map_err(|()| ENCODE.failed("a URL of this scheme has no username"))?;
    url.set_path(&part("path")?.unwrap_or_default());
    url.set_query(query(&parts, part("query")?)?.as_deref());
    url.set_fragment(part("fragment")?.as_deref());
    let text = match port(&parts)? {
        Some(port) => with_port(&url, port),
        None => url.into(),
    };
    limit(ENCODE, text.len())?;
    lua.create_string(text)
}

/// A URL of scheme and host alone. What is no host must not become another part of the URL.
fn base(scheme: &str, host: &str) -> mlua::Result<Url> {
    let wrong = |reason: String| {
        ENCODE.failed(format!(
            "{scheme:?} and {host:?} are no scheme and host: {reason}"
        ))
    };
    // A path has to be there for the comparison: schemes that are not special may lack it.
    let url = Url::parse(&format!("{scheme}://{host}/")).map_err(|e| wrong(e.to_string()))?;
    if url.has_host() && url[Position::AfterHost..] == *"/" && url.username().is_empty() {
        Ok(url)
    } else {
        Err(wrong("they have other parts of a URL".to_owned()))
    }
}

/// The query and the arguments, one after the other.
fn query(parts: &Table, query: Option<String>) -> mlua::Result<Option<String>> {
    let arguments = match ENCODE.options("args", parts.raw_get("args")?)? {
        Some(arguments) => query_of(ENCODE, &arguments)?,
        None => String::new(),
    };
    Ok(match query.filter(|query| !query.is_empty()) {
        Some(query) if arguments.is_empty() => Some(query),
        Some(query) => Some(format!("{query}&{arguments}")),
        None => Some(arguments).filter(|arguments| !arguments.is_empty()),
    })
}

fn port(parts: &Table) -> mlua::Result<Option<u16>> {
    let value: Value = parts.raw_get("port")?;
    if value.is_nil() {
        return Ok(None);
    }
    let text = ENCODE.scalar("port", &value)?;
    match std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse().ok())
    {
        Some(port) => Ok(Some(port)),
        None => Err(ENCODE.wrong("port", "a number from 0 to 65535", &value)),
    }
}

/// `Url` drops the port that is the scheme's own; the caller asked for it.
fn with_port(url: &Url, port: u16) -> String {
    let before = &url[..Position::AfterHost];
    let after = &url[Position::AfterPort..];
    format!("{before}:{port}{after}")
}

/// A table of names to values, or to arrays of values. Names are sorted: a table has no order.
fn query_of(function: Function, arguments: &Table) -> mlua::Result<String> {
    let mut pairs = Vec::new();
    let mut length = 0;
    let mut add = |name: &Value, value: &Value| -> mlua::Result<()> {
        let (name, value) = (
            function.scalar("args", name)?,
            function.scalar("args", value)?,
        );
        // Both separators count, so that the number of pairs is limited, too.
        length += name.len() + value.len() + 2;
        limit(function, length)?;
        pairs.push((name, value));
        Ok(())
    };
    for pair in arguments.pairs::<Value, Value>() {
        match pair? {
            (name, Value::Table(values)) => {
                for value in values.sequence_values::<Value>() {
                    add(&name, &value?)?;
                }
            }
            (name, value) => add(&name, &value)?,
        }
    }
    // Stable: values of one name keep their order.
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(form_urlencoded::byte_serialize(&name));
        query.push('=');
        query.extend(form_urlencoded::byte_serialize(&value));
        limit(function, query.len())?;
    }
    Ok(query)
}

/// Appends arguments to the query of a URL.
pub(super) fn append_arguments(
    function: Function,
    url: &mut Url,
    arguments: &Table,
) -> mlua::Result<()> {
    let arguments = query_of(function, arguments)?;
    let query = match url.query() {
        _ if arguments.is_empty() => return Ok(()),
        Some(query) if !query.is_empty() => format!("{query}&{arguments}"),
        _ => arguments,
    };
    url.set_query(Some(&query));
    Ok(())
}

fn decode(lua: &Lua, text: Value) -> mlua::Result<Table> {
    let text = DECODE.text("url", text)?;
    limit(DECODE, text.len())?;
    let url = Url::parse(&text)
        .map_err(|error| DECODE.failed(format!("the text is not an absolute URL: {error}")))?;
    let parts = lua.create_table()?;
    let decoded = |text: &str| lua.create_string(bytes_of(text.as_bytes()));
    parts.raw_set("scheme", url.scheme())?;
    if !url.username().is_empty() {
        parts.raw_set("username", decoded(url.username())?)?;
    }
    if let Some(password) = url.password() {
        parts.raw_set("password", decoded(password)?)?;
    }
    parts.raw_set("host", url.host_str())?;
    parts.raw_set("port", url.port())?;
    parts.raw_set("path", url.path())?;
    parts.raw_set("fragment", url.fragment())?;
    if let Some(query) = url.query() {
        parts.raw_set("query", query)?;
        parts.raw_set("args", arguments_of(lua, query.as_bytes())?)?;
    }
    Ok(parts)
}

/// A table of each name to the array of its values.
fn arguments_of(lua: &Lua, query: &[u8]) -> mlua::Result<Table> {
    let arguments = lua.create_table()?;
    for pair in query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
    {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = lua.create_string(unquoted(halves.next().unwrap_or_default()))?;
        let value = lua.create_string(unquoted(halves.next().unwrap_or_default()))?;
        let known: Option<Table> = arguments.raw_get(&name)?;
        let values = known.map_or_else(|| lua.create_table(), Ok)?;
        values.raw_push(value)?;
        arguments.raw_set(name, values)?;
    }
    Ok(arguments)
}

fn unquoted(text: &[u8]) -> Vec<u8> {
    let blanks: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    bytes_of(&blanks)
}

fn bytes_of(text: &[u8]) -> Vec<u8> {
    percent_decode(text).collect()
}
