//! `tinistreamer tinysse`: the HTTP interface of tinysse over our stores. What scripts do is tested
//! elsewhere.

mod files;
mod nodes;
mod options;
mod publish;
mod server;
mod subscribe;
