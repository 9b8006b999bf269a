//! For operators: connected clients, health, metrics. One file per operation.

pub mod disconnect_client;
pub mod health;
pub mod info;
pub mod list_clients;
pub mod metrics;
pub mod ready;
