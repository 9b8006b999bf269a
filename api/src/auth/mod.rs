//! Authentication: API keys for publishers and operators, short-lived encrypted tokens for
//! subscribers.

pub mod api_key;
pub mod claims;
pub mod client_token;
pub mod permissions;
