//! Two versions of the broker: the previous one and this one as nodes over one Redis, and the data
//! that older versions left in Redis.
//!
//! The file `base` names the commit that was landed last. `scripts/build-commit` builds its broker.
//! docs/operations/upgrade.md says what is tested here, and what to do when something is landed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test is a panic"
)]
#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tests are read from top to bottom"
)]

#[path = "../suite/common/mod.rs"]
#[allow(dead_code, unused_macros, reason = "the suite needs the rest of it")]
mod common;

#[path = "../faults/active_stream.rs"]
#[allow(dead_code, reason = "the faults need the rest of it")]
mod active_stream;
#[path = "../faults/fleet.rs"]
#[allow(dead_code, reason = "the faults need the rest of it")]
mod fleet;
#[path = "../faults/fleet_subscriber.rs"]
#[allow(dead_code, reason = "the faults need the rest of it")]
mod fleet_subscriber;
#[path = "../faults/proxy.rs"]
#[allow(dead_code, reason = "the faults need the rest of it")]
mod proxy;
#[path = "../faults/verification.rs"]
#[allow(dead_code, reason = "the faults need the rest of it")]
mod verification;
#[path = "../faults/writer.rs"]
#[allow(dead_code, reason = "the faults need the rest of it")]
mod writer;

#[macro_use]
mod pair;

mod exchange;
mod load;
mod record;
mod recording;
mod replay;
