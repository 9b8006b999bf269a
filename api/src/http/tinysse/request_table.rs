//! A request as scripts see it: the table `req`.

use std::collections::BTreeMap;

use rocket::Request;
use serde_json::{Value, json};

/// Headers that a stored publication does not keep: they let their reader act for the publisher.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
];

/// The table of a request: method, path, query, headers and address. The names of headers are in
/// small letters. A header that came several times is one text with commas.
pub(super) fn of(request: &Request<'_>) -> Value {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for header in request.headers().iter() {
        let name = header.name().as_str().to_ascii_lowercase();
        let value = header.value();
        headers
            .entry(name)
            .and_modify(|values| *values = format!("{values}, {value}"))
            .or_insert_with(|| value.to_owned());
    }
    let ip = request.client_ip().map(|ip| ip.to_string());
    let port = request.remote().map(|address| address.port());
    json!({
        "method": request.method().as_str(),
        "path": request.uri().path().as_str(),
        "query": request.uri().query().map_or("", |query| query.as_str()),
        "headers": headers,
        "addr": { "ip": ip, "port": port },
    })
}

/// Removes the credentials from the table of a request.
pub(super) fn without_credentials(mut request: Value) -> Value {
    if let Some(Value::Object(headers)) = request.get_mut("headers") {
        headers.retain(|name, _| !CREDENTIALS.contains(&&*name.to_ascii_lowercase()));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_removed() {
        let table = json!({
            "path": "/sse",
            "headers": {
                "authorization": "a", "cookie": "b", "proxy-authorization": "c", "x-api-key": "d",
                "host": "e",
            },
        });
        let kept = json!({ "path": "/sse", "headers": { "host": "e" } });
        assert_eq!(without_credentials(table), kept);
    }
}
