//! For operators: who is connected, health, metrics.

pub mod clients;
pub mod health;
pub mod metrics;
