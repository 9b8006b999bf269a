//! The OpenAPI document, made from the attributes of the routes, and the page that shows it.

mod constraints;
mod document;
mod page;

pub use document::document_json;
pub use page::routes;
