//! `broker`: a script writes events, finishes streams, and asks about them.
//!
//! An error has the error code that the HTTP interface has for it.

use std::sync::Arc;

use mlua::{Lua, LuaSerdeExt, Table, Value};

use super::arguments::Function;
use crate::{
    codec::json::{self, InvalidFinish},
    hooks::{BrokerError, DefaultStream},
    script::{
        broker::BrokerAccess,
        values::{from_json, to_json},
    },
    stream::{EventId, Finish, InvalidEvent, NewEvent, StreamKey},
};

const PUBLISH: Function = Function("broker.publish");
const FINISH: Function = Function("broker.finish");
const INFO: Function = Function("broker.info");
const SUBSCRIBERS: Function = Function("broker.subscribers");

/// The members of a message, by which one message differs from a list of them.
const MESSAGE: [&str; 5] = ["msg", "id", "event", "data", "comment"];

pub(super) fn load(lua: &Lua, access: &BrokerAccess) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let broker = access.clone();
    let publish = move |lua: Lua, (first, second): (Value, Value)| {
        let broker = broker.clone();
        async move { publish(&lua, &broker, first, second).await }
    };
    module.raw_set("publish", lua.create_async_function(publish)?)?;
    let broker = access.clone();
    let finish = move |lua: Lua, (key, options): (Value, Value)| {
        let broker = broker.clone();
        async move { finish(&lua, &broker, key, options).await }
    };
    module.raw_set("finish", lua.create_async_function(finish)?)?;
    let broker = access.clone();
    let info = move |lua: Lua, key: Value| {
        let broker = broker.clone();
        async move {
            let key = key_or_default(INFO, &broker, key)?;
            let table = broker.info(key).await.map_err(failed(INFO))?;
            from_json(&lua, &table)
        }
    };
    module.raw_set("info", lua.create_async_function(info)?)?;
    let broker = access.clone();
    let subscribers = move |_: Lua, key: Value| {
        let broker = broker.clone();
        async move {
            let key = key_or_default(SUBSCRIBERS, &broker, key)?;
            broker.subscribers(key).await.map_err(failed(SUBSCRIBERS))
        }
    };
    module.raw_set("subscribers", lua.create_async_function(subscribers)?)?;
    module.raw_set("script_data", access.script_data())?;
    Ok(module)
}

/// Returns one id for one event, and a list for a list.
async fn publish(
    lua: &Lua,
    broker: &BrokerAccess,
    first: Value,
    second: Value,
) -> mlua::Result<Value> {
    let has_key = !matches!((&first, &second), (Value::Table(_), Value::Nil));
    let default = broker.default_stream().filter(|_| !has_key);
    let (ids, is_list) = if let Some(stream) = default {
        publish_messages(lua, broker, stream, first).await?
    } else {
        publish_events(lua, broker, key(PUBLISH, first)?, second).await?
    };
    match ids.first() {
        Some(id) if !is_list => Ok(Value::String(lua.create_string(id)?)),
        _ => {
            let list = lua.create_sequence_from(ids)?;
            list.set_metatable(Some(lua.array_metatable()))?;
            Ok(Value::Table(list))
        }
    }
}

async fn publish_messages(
    lua: &Lua,
    broker: &BrokerAccess,
    stream: &Arc<dyn DefaultStream>,
    messages: Value,
) -> mlua::Result<(Vec<String>, bool)> {
    let (messages, is_list) = items(broker, messages)?;
    let messages = messages.iter().zip(1..).map(|(message, index)| {
        to_json(lua, message).map_err(|error| invalid(index, &error.to_string()))
    });
    let messages = messages.collect::<mlua::Result<Vec<_>>>()?;
    let ids = broker.publish_messages(Arc::clone(stream), messages).await;
    Ok((ids.map_err(failed(PUBLISH))?, is_list))
}

async fn publish_events(
    lua: &Lua,
    broker: &BrokerAccess,
    key: StreamKey,
    events: Value,
) -> mlua::Result<(Vec<String>, bool)> {
    let (events, is_list) = items(broker, events)?;
    let events = events.into_iter().zip(1..);
    let events = events.map(|(event, index)| parsed(lua, broker, index, event));
    let events = events.collect::<mlua::Result<Vec<_>>>()?;
    let ids = broker.publish(key, events).await;
    let ids = ids.map_err(failed(PUBLISH))?;
    Ok((ids.iter().map(EventId::to_string).collect(), is_list))
}

/// The events of one call, and whether they came as a list.
fn items(broker: &BrokerAccess, events: Value) -> mlua::Result<(Vec<Value>, bool)> {
    let table = PUBLISH.table("events", events)?;
    for member in MESSAGE {
        if table.contains_key(member)? {
            return Ok((vec![Value::Table(table)], false));
        }
    }
    let limit = broker.max_batch();
    let count = table.raw_len();
    if count > limit {
        let text = format!("too-many-events: A call writes at most {limit} events, not {count}");
        return Err(PUBLISH.failed(text));
    }
    let items = (1..=count).map(|index| table.raw_get(index));
    Ok((items.collect::<mlua::Result<_>>()?, true))
}

/// An event, checked as that of a producer.
fn parsed(lua: &Lua, broker: &BrokerAccess, index: usize, event: Value) -> mlua::Result<NewEvent> {
    let table = PUBLISH.table("event", event)?;
    PUBLISH.only(&table, &["event", "data"])?;
    let name = PUBLISH.text("event", table.raw_get("event")?)?;
    let data = stored(lua, &table.raw_get("data")?);
    let data = data.map_err(|error| invalid(index, &error))?;
    let event = NewEvent::new(name, data).map_err(|error| match error {
        InvalidEvent::Reserved(_) => PUBLISH.failed(format!("reserved-event: {error}")),
        InvalidEvent::Name => invalid(index, &error.to_string()),
    })?;
    let (bytes, limit) = (event.weight(), broker.max_event());
    if bytes > limit {
        let text = format!(
            "too-large: event {index} has {bytes} bytes of name and data, and the limit is {limit}"
        );
        return Err(PUBLISH.failed(text));
    }
    Ok(event)
}

/// The data of an event as it is stored: text, or the JSON of any other value.
fn stored(lua: &Lua, data: &Value) -> Result<Option<Box<str>>, String> {
    match to_json(lua, data).map_err(|error| error.to_string())? {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => Ok(Some(text.into())),
        value => Ok(Some(json::text(&value).into())),
    }
}

/// Returns the id of the last event.
async fn finish(
    lua: &Lua,
    broker: &BrokerAccess,
    key: Value,
    options: Value,
) -> mlua::Result<String> {
    let key = self::key(FINISH, key)?;
    let finish = finish_of(lua, broker, options)?;
    let id = broker.finish(key, finish).await.map_err(failed(FINISH))?;
    Ok(id.to_string())
}

/// How to finish a stream: `ended` with data, `cancelled` with a reason, or `failed`.
fn finish_of(lua: &Lua, broker: &BrokerAccess, options: Value) -> mlua::Result<Finish> {
    let options = match FINISH.options("options", options)? {
        Some(options) => options,
        None => lua.create_table()?,
    };
    let status = match options.raw_get("status")? {
        Value::Nil => "ended".to_owned(),
        status => FINISH.text("status", status)?,
    };
    let text = |name: &'static str| match options.raw_get(name)? {
        Value::Nil => Ok(None),
        value => FINISH.text(name, value).map(Some),
    };
    let finish = match &*status {
        "ended" => {
            FINISH.only(&options, &["status", "data"])?;
            let data = stored(lua, &options.raw_get("data")?);
            let data = data.map_err(|error| FINISH.failed(format!("invalid-request: {error}")))?;
            json::ended(data, broker.max_event())
        }
        "cancelled" => {
            FINISH.only(&options, &["status", "reason", "by"])?;
            json::cancelled(text("reason")?.as_deref(), text("by")?.as_deref())
        }
        "failed" => {
            FINISH.only(&options, &["status", "code", "message"])?;
            json::failed(text("code")?.as_deref(), text("message")?.as_deref())
        }
        _ => {
            let status = Value::String(lua.create_string(&status)?);
            return Err(FINISH.wrong("status", "ended, cancelled or failed", &status));
        }
    };
    finish.map_err(|problem| {
        let code = match problem {
            InvalidFinish::TooLarge { .. } => "too-large",
            InvalidFinish::TooLong { .. } | InvalidFinish::Code => "invalid-request",
        };
        FINISH.failed(format!("{code}: {problem}"))
    })
}

fn key(function: Function, key: Value) -> mlua::Result<StreamKey> {
    let text = function.text("key", key)?;
    text.parse()
        .map_err(|error| function.failed(format!("invalid-key: {error}")))
}

fn key_or_default(
    function: Function,
    broker: &BrokerAccess,
    key: Value,
) -> mlua::Result<StreamKey> {
    match (key, broker.default_stream()) {
        (Value::Nil, Some(stream)) => stream
            .key()
            .parse()
            .map_err(|error| function.failed(format!("invalid-key: {error}"))),
        (key, _) => self::key(function, key),
    }
}

fn invalid(index: usize, problem: &str) -> mlua::Error {
    PUBLISH.failed(format!("invalid-event: event {index}: {problem}"))
}

fn failed(function: Function) -> impl FnOnce(BrokerError) -> mlua::Error {
    move |error| function.failed(error.to_string())
}
