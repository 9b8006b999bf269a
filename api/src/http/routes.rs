//! The table of routes.

use rocket::{Route, routes};

use super::{admin, publish, signals, streams, subscribe};

/// Routes whose requests stay open for as long as the subscriber or the producer wants.
pub const LONG_LIVED: [&str; 7] = [
    "/api/client/sse",
    "/api/client/ws",
    "/api/client/ndjson",
    "/api/client/poll",
    "/api/event/add/json-stream",
    "/api/event/add/ws-stream",
    "/api/stream/signals",
];

/// Every route below `/api`.
#[must_use]
pub fn all() -> Vec<Route> {
    routes![
        admin::health::health,
        admin::ready::ready,
        admin::info::info,
        streams::list::list,
        streams::create::create,
        streams::issue_token::issue_token,
        streams::info::info,
        streams::events::events,
        streams::finish::end,
        streams::finish::cancel,
        streams::finish::fail,
        streams::renew::renew,
        signals::read::read,
        signals::send::send,
        publish::batch::add,
        publish::ndjson::add,
        publish::websocket::add,
        subscribe::sse::follow,
        subscribe::sse::head,
        subscribe::websocket::follow,
        subscribe::ndjson::follow,
        subscribe::poll::poll,
        admin::list_clients::list_clients,
        admin::disconnect_client::disconnect_client,
    ]
}
