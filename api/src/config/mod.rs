//! Settings: one struct, which the broker reads once when it starts. The environment (`STREAMER_*`)
//! wins over `Rocket.toml`.
//!
//! `table.rs` declares every setting in one row. The struct, the reader, the list of names, and the
//! reference in the README and in `.env.example` all come from these rows.

pub use self::{
    reference::{env_example, markdown, text},
    source::{ENV_PREFIX, Problem, variable},
    table::{NAMES, Settings},
    values::{
        Delivery, LogFormat, MAX_BATCH, MAX_EVENTS, MAX_KEYS, MetricsAt, PROMISE_SECONDS, Secret,
        Sentinels, StoreUrl, TTL_SECONDS,
    },
};

mod load;
mod parse;
mod reference;
mod source;
mod table;
mod takes;
#[cfg(test)]
mod tests;
mod values;
