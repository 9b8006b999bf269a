//! What a script says of a request: URL, headers, arguments, body, timeout.

use std::time::Duration;

use mlua::{Table, Value};
use reqwest::{
    Method, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

use super::super::{
    arguments::{Function, number},
    url::append_arguments,
};

const MAX_URL: usize = 16 * 1024;
const MAX_BODY: usize = 8 * 1024 * 1024;
const MAX_HEADERS: usize = 100;
/// These belong to a connection and its framing. A script may pass on all headers of a request.
const NOT_SENT: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    pub(super) timeout: Duration,
}

/// What an agent adds to its requests. Those of a request come before them.
#[derive(Clone)]
pub(super) struct Defaults {
    headers: HeaderMap,
    timeout: Duration,
    longest: Duration,
}

impl Defaults {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            headers: HeaderMap::new(),
            // So that a script can go on without the response.
            timeout: longest / 2,
            longest,
        }
    }

    pub(super) fn with(&self, function: Function, options: Value) -> mlua::Result<Self> {
        let mut defaults = self.clone();
        if let Some(options) = function.options("options", options)? {
            function.only(&options, &["headers", "timeout"])?;
            defaults.headers = headers(function, &options, &self.headers)?;
            defaults.timeout = self.timeout_of(function, &options)?;
        }
        Ok(defaults)
    }

    fn timeout_of(&self, function: Function, options: &Table) -> mlua::Result<Duration> {
        let value: Value = options.raw_get("timeout")?;
        match number(&value) {
            None if value.is_nil() => Ok(self.timeout),
            Some(number) if number >= 1.0 && number.is_finite() => Ok(self
                .longest
                .min(Duration::from_secs_f64((number / 1000.0).min(86_400.0)))),
            _ => Err(function.wrong("timeout", "a number of milliseconds, at least 1", &value)),
        }
    }
}

impl Request {
    pub(super) fn new(
        function: Function,
        method: Method,
        url: Value,
        options: Value,
        defaults: &Defaults,
    ) -> mlua::Result<Self> {
        let mut request = Self {
            method,
            url: parsed(function, url)?,
            headers: defaults.headers.clone(),
            body: None,
            timeout: defaults.timeout,
        };
        let Some(options) = function.options("options", options)? else {
            return Ok(request);
        };
        function.only(&options, &["args", "headers", "body", "timeout"])?;
        request.headers = headers(function, &options, &defaults.headers)?;
        request.timeout = defaults.timeout_of(function, &options)?;
        if let Some(arguments) = function.options("args", options.raw_get("args")?)? {
            append_arguments(function, &mut request.url, &arguments)?;
        }
        let body: Value = options.raw_get("body")?;
        if !body.is_nil() {
            request.body = Some(body_of(function, body)?);
        }
        Ok(request)
    }
}

/// URLs of HTTP only. The URL of an error is not repeated: it may hold a password.
fn parsed(function: Function, url: Value) -> mlua::Result<Url> {
    let text = function.text("url", url)?;
    if text.len() > MAX_URL {
        return Err(function.too_large("the URL", format!("{MAX_URL} bytes")));
    }
    let url = Url::parse(&text)
        .map_err(|error| function.failed(format!("`url` is not an absolute URL: {error}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(function.failed(format!(
            "`url` must have the scheme http or https, not {other}"
        ))),
    }
}

fn body_of(function: Function, body: Value) -> mlua::Result<Vec<u8>> {
    let body = function.bytes("body", body)?;
    let bytes = body.as_bytes();
    if bytes.len() > MAX_BODY {
        return Err(function.too_large("the body", format!("{MAX_BODY} bytes")));
    }
    Ok(bytes.to_vec())
}

/// A name has a value, or an array of values.
fn headers(function: Function, options: &Table, defaults: &HeaderMap) -> mlua::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let table = function.options("headers", options.raw_get("headers")?)?;
    for pair in table.iter().flat_map(Table::pairs::<Value, Value>) {
        let (name, value) = pair?;
        let name = function.text("headers", name)?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| function.failed(format!("{name:?} is not the name of a header")))?;
        if NOT_SENT.contains(&name) {
            continue;
        }
        let values = match value {
            Value::Table(values) => values.sequence_values().collect::<mlua::Result<Vec<_>>>()?,
            value => vec![value],
        };
        for value in values {
            headers.append(&name, header_value(function, &name, &value)?);
        }
        if headers.len() > MAX_HEADERS {
            return Err(function.too_large("the request", format!("{MAX_HEADERS} headers")));
        }
    }
    for name in defaults
        .keys()
        .filter(|name| !headers.contains_key(*name))
        .collect::<Vec<_>>()
    {
        for value in defaults.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    Ok(headers)
}

/// The value is not repeated in an error: it may be a secret.
fn header_value(function: Function, name: &HeaderName, value: &Value) -> mlua::Result<HeaderValue> {
    let bytes = match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            function.scalar("headers", value)?
        }
        other => {
            let kind = other.type_name();
            return Err(
                function.failed(format!("the header {name} must be a string, not a {kind}"))
            );
        }
    };
    HeaderValue::from_bytes(&bytes)
        .map_err(|_| function.failed(format!("the header {name} has a control character")))
}
