//! `http`: requests to other servers, where `STREAMER_SCRIPT_HTTP` allows them.
//!
//! A hook waits for the response; others run meanwhile. A hook that is given up ends its request.

mod exchange;
mod request;

use std::time::Duration;

use mlua::{AnyUserData, Lua, Table, UserData, UserDataMethods, Value};
use reqwest::{Client, Method};

use self::{
    exchange::{Response, client, exchange},
    request::{Defaults, Request},
};
use super::arguments::Function;

const AGENT: Function = Function("http.agent");
const REQUEST: Function = Function("http.request");
/// The functions that have a method as their name.
const METHODS: [(&str, Function, Method); 7] = [
    ("get", Function("http.get"), Method::GET),
    ("head", Function("http.head"), Method::HEAD),
    ("options", Function("http.options"), Method::OPTIONS),
    ("post", Function("http.post"), Method::POST),
    ("put", Function("http.put"), Method::PUT),
    ("patch", Function("http.patch"), Method::PATCH),
    ("delete", Function("http.delete"), Method::DELETE),
];

/// `timeout` is the longest time that a request may take.
pub(super) fn load(lua: &Lua, timeout: Duration) -> mlua::Result<Table> {
    let client = client().map_err(|error| Function("http").failed(error.to_string()))?;
    let agent = Agent {
        client,
        defaults: Defaults::new(timeout),
    };
    let module = lua.create_table()?;
    for (name, function, method) in METHODS {
        let agent = agent.clone();
        let call = lua.create_async_function(move |lua, (url, options): (Value, Value)| {
            let request = Request::new(function, method.clone(), url, options, &agent.defaults);
            send(lua, function, agent.client.clone(), request)
        })?;
        module.raw_set(name, call)?;
    }
    let shared = agent.clone();
    let request =
        lua.create_async_function(move |lua, (method, url, options): (Value, Value, Value)| {
            let request = any_method(&method)
                .and_then(|method| Request::new(REQUEST, method, url, options, &shared.defaults));
            send(lua, REQUEST, shared.client.clone(), request)
        })?;
    module.raw_set("request", request)?;
    let new_agent = lua.create_function(move |lua, options: Value| agent.with(lua, options))?;
    module.raw_set("agent", new_agent)?;
    Ok(module)
}

/// What requests have in common. All agents of a script share one pool of connections.
#[derive(Clone)]
struct Agent {
    client: Client,
    defaults: Defaults,
}

impl Agent {
    fn with(&self, lua: &Lua, options: Value) -> mlua::Result<AnyUserData> {
        lua.create_userdata(Self {
            client: self.client.clone(),
            defaults: self.defaults.with(AGENT, options)?,
        })
    }
}

impl UserData for Agent {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        for (name, function, method) in METHODS {
            methods.add_async_method(name, move |lua, this, (url, options): (Value, Value)| {
                let request = Request::new(function, method.clone(), url, options, &this.defaults);
                send(lua, function, this.client.clone(), request)
            });
        }
        methods.add_async_method(
            "request",
            |lua, this, (method, url, options): (Value, Value, Value)| {
                let request = any_method(&method)
                    .and_then(|method| Request::new(REQUEST, method, url, options, &this.defaults));
                send(lua, REQUEST, this.client.clone(), request)
            },
        );
    }
}

fn any_method(value: &Value) -> mlua::Result<Method> {
    let name = value.as_string().map(mlua::LuaString::to_string_lossy);
    METHODS
        .into_iter()
        .find(|(known, ..)| {
            name.as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(known))
        })
        .map(|(.., method)| method)
        .ok_or_else(|| {
            let expected = "GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE";
            REQUEST.wrong("method", expected, value)
        })
}

async fn send(
    lua: Lua,
    function: Function,
    client: Client,
    request: mlua::Result<Request>,
) -> mlua::Result<Table> {
    match exchange(&client, request?).await {
        Ok(response) => table_of(&lua, &response),
        Err(error) => Err(function.failed(error.to_string())),
    }
}

fn table_of(lua: &Lua, response: &Response) -> mlua::Result<Table> {
    let headers = lua.create_table()?;
    let values = lua.create_table()?;
    for name in response.headers.keys() {
        let all = response.headers.get_all(name);
        let all: Vec<_> = all
            .iter()
            .map(reqwest::header::HeaderValue::as_bytes)
            .collect();
        headers.raw_set(name.as_str(), lua.create_string(all.join(&b", "[..]))?)?;
        let strings = all.iter().map(|value| lua.create_string(value));
        let strings: Vec<_> = strings.collect::<mlua::Result<_>>()?;
        values.raw_set(name.as_str(), strings)?;
    }
    let table = lua.create_table()?;
    table.raw_set("status", response.status)?;
    table.raw_set("headers", headers)?;
    table.raw_set("header_values", values)?;
    table.raw_set("body", lua.create_string(&response.body)?)?;
    Ok(table)
}
