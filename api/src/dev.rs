//! `tinistreamer dev`: a broker to try, and to develop with. It needs no setting and no other
//! program, and only programs on this machine reach it.

use std::net::{Ipv4Addr, TcpListener};

use crate::environment::Environment;

/// What to tell somebody who has set no keys.
pub(crate) const HINT: &str =
    "To try the broker without any setting, run `tinistreamer dev`; it makes up keys";

/// What `dev` sets, whatever `.env`, `Rocket.toml` and the environment say: they may be meant for a
/// broker that serves.
const FIXED: [(&str, &str); 3] = [
    ("redis_url", "memory:"),
    ("address", "127.0.0.1"),
    ("console", "on"),
];

/// The ports to try, in order, where none is set.
const PORTS: std::ops::Range<u16> = 8000..8100;

/// Changes the environment to that of `dev`. Without a `port` here or in the environment, the
/// broker gets the first free one.
pub(crate) fn prepare(environment: &mut Environment, port: Option<u16>) {
    for (name, value) in FIXED {
        environment.set(name, value.to_owned());
    }
    if let Some(port) = port {
        environment.set("port", port.to_string());
    } else if !environment.is_set("port") {
        // Where none is free, the broker says so of the first.
        let port = PORTS
            .clone()
            .find(|&port| is_free(port))
            .unwrap_or(PORTS.start);
        environment.set("port", port.to_string());
    }
}

/// Whether nothing listens at this port. Something may, a moment later.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
