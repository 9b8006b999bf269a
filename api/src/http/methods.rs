//! Which methods a path takes, and requests whose method Rocket does not know.

use rocket::{Request, http::Method};

/// The methods that the request's path takes, as in an `Allow` header (RFC 9110, 10.2.1); none at
/// an unknown path. Rocket answers 404 for a known path with the wrong method; a client deserves to
/// hear which it was.
pub(crate) fn allowed_methods(request: &Request<'_>) -> Option<String> {
    let path = request.uri().path();
    // With a slash at its end a path is the same; a request that Rocket could not read still has
    // it.
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

/// Whether a route's path, some of whose segments may be parameters, is that of a request.
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

/// A mark of requests that Rocket could read. Rocket gives the others to the catcher at once, past
/// all fairings.
struct WasRead(bool);

/// Marks a request that Rocket could read. To be called by a fairing, for each request.
pub(crate) fn mark_as_read(request: &Request<'_>) {
    request.local_cache(|| WasRead(true));
}

/// Whether the request has a method that Rocket does not know. Rocket then says `GET` and 400. It
/// can't read one other kind of request: a `CONNECT` without a path, whose method it knows.
pub(crate) fn has_unknown_method(request: &Request<'_>) -> bool {
    request.method() == Method::Get && !request.local_cache(|| WasRead(false)).0
}
