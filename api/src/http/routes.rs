//! The table of routes.

use rocket::{Route, routes};

use super::{
    admin::{clients, health},
    publish,
    streams::{access, events, manage},
    subscribe,
};

/// Routes whose requests are open for as long as their clients and producers like.
pub const LONG_LIVED: [&str; 6] = [
    "/api/client/sse",
    "/api/client/ws",
    "/api/client/ndjson",
    "/api/client/poll",
    "/api/event/add/json-stream",
    "/api/event/add/ws-stream",
];

/// Every route, to be mounted under `/api`.
#[must_use]
pub fn all() -> Vec<Route> {
    routes![
        health::health,
        health::ready,
        health::info,
        manage::list,
        access::create,
        access::issue_token,
        manage::info,
        events::events,
        manage::end,
        manage::cancel,
        publish::batch::add,
        publish::ndjson::add,
        publish::websocket::add,
        subscribe::sse::follow,
        subscribe::sse::head,
        subscribe::websocket::follow,
        subscribe::ndjson::follow,
        subscribe::poll::poll,
        clients::list,
        clients::disconnect,
    ]
}
