//! A request as a script sees it, without the credentials of the broker.

use rocket::{Request, http::RawStr};
use serde_json::{Map, Value, json};

/// Headers that hold credentials of the broker.
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "x-api-key"];

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A backend's. It has no cookies: those that a proxy adds are none of the script's business.
    Publisher,
    /// A subscriber's. Scripts authorise by cookie.
    Subscriber,
}

/// The request as a table of the script: `req`.
pub(super) fn view(request: &Request<'_>, side: Side) -> Value {
    let mut headers = Map::new();
    for header in request.headers().iter() {
        let name = header.name().as_str().to_ascii_lowercase();
        let is_hidden =
            CREDENTIALS.contains(&&*name) || side == Side::Publisher && name == "cookie";
        if is_hidden {
            continue;
        }
        match headers.get_mut(&name) {
            // RFC 9110, 5.3, and RFC 9113, 8.2.3 for cookies.
            Some(Value::String(values)) => {
                values.push_str(if name == "cookie" { "; " } else { ", " });
                values.push_str(header.value());
            }
            _ => _ = headers.insert(name, header.value().into()),
        }
    }
    json!({
        "method": request.method().as_str(),
        "path": request.uri().path().as_str(),
        "query": request.uri().query().map_or(String::new(), |query| without_token(query.as_str())),
        "headers": headers,
        "addr": {
            "ip": request.client_ip().map(|ip| ip.to_string()),
            "port": request.remote().map(|remote| remote.port()),
        },
    })
}

/// The query without tokens, however they are spelled.
fn without_token(query: &str) -> String {
    let is_token = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = RawStr::new(name).url_decode_lossy();
        let word = name.split(['[', '.']).next().unwrap_or_default();
        word.eq_ignore_ascii_case("token")
    };
    let kept: Vec<_> = query.split('&').filter(|pair| !is_token(pair)).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_stays_in_a_query() {
        for (query, kept) in [
            ("key=a&token=secret&tags=x", "key=a&tags=x"),
            ("token=secret", ""),
            (
                "to%6Ben=secret&Token=secret&token[]=secret&token.a=secret",
                "",
            ),
            ("token%5B%5D=secret&tokens=3", "tokens=3"),
            ("", ""),
        ] {
            assert_eq!(without_token(query), kept);
        }
    }
}
