//! The methods of a path, and requests whose method Rocket does not know.

use rocket::{Request, http::Method};

/// The methods of the request's path, as in an `Allow` header (RFC 9110, 10.2.1). None if the path
/// is unknown. Rocket answers 404 for a known path with the wrong method. The broker distinguishes
/// the two.
pub(crate) fn allowed_methods(request: &Request<'_>) -> Option<String> {
    let path = request.uri().path();
    // A path with a slash at its end is the same path. The fairing that removes the slash does not
    // see requests that Rocket could not read.
    let path = path
        .as_str()
        .strip_suffix('/')
        .filter(|path| path.starts_with("/api/"))
        .unwrap_or(path.as_str());
    let mut methods: Vec<&str> = request
        .rocket()
        .routes()
        .filter(|route| is_at(route.uri.path(), path))
        .map(|route| route.method.as_str())
        .collect();
    if methods.is_empty() {
        return None;
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    Some(methods.join(", "))
}

/// Whether a route's path matches the path of a request. Segments of the route may be parameters.
fn is_at(route: &str, path: &str) -> bool {
    let is_parameter = |segment: &str| segment.starts_with('<') && !segment.ends_with("..>");
    route.split('/').count() == path.split('/').count()
        && route
            .split('/')
            .zip(path.split('/'))
            .all(|(of_route, segment)| {
                of_route == segment || is_parameter(of_route) && !segment.is_empty()
            })
}

/// Marks requests that Rocket could read. Rocket passes the others to the catcher without the
/// fairings.
struct WasRead(bool);

/// Marks a request as read. A fairing calls this for each request.
pub(crate) fn mark_as_read(request: &Request<'_>) {
    request.local_cache(|| WasRead(true));
}

/// Whether the request has a method that Rocket does not know. Rocket then reports `GET` and 400.
/// Rocket can't read one other kind of request either: a `CONNECT` without a path. It knows that
/// method.
pub(crate) fn has_unknown_method(request: &Request<'_>) -> bool {
    request.method() == Method::Get && !request.local_cache(|| WasRead(false)).0
}
