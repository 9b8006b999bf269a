//! Who may do what: API keys for backends, short-lived encrypted tokens for clients.

pub mod api_key;
pub mod claims;
pub mod client_token;
