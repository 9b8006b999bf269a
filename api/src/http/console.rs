//! The console: a page at `/` that shows streams live and lets people try the interface. Its files
//! are in `api/console/www` and part of the binary. The page uses only the HTTP interface.

use std::path::PathBuf;

use rocket::{
    Request, Route, get,
    response::{self, Responder, Response},
    routes,
};
use rust_embed::RustEmbed;

use super::{
    embedded::EmbeddedFile,
    error::{ApiError, ErrorCode},
};

/// The page may load its own files and send requests to its own broker
/// (<https://www.w3.org/TR/CSP3/>). It may not turn text into markup: only the template library has
/// a policy for that (<https://www.w3.org/TR/trusted-types/>), and it accepts only the templates in
/// the page's own scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types lit-html";

#[derive(RustEmbed)]
#[folder = "console/www"]
struct Files;

/// The routes of the page and of its files.
#[must_use]
pub fn routes() -> Vec<Route> {
    routes![page, file]
}

#[get("/")]
fn page() -> Result<Asset, ApiError> {
    asset("index.html")
}

#[get("/console/<path..>")]
fn file(path: PathBuf) -> Result<Asset, ApiError> {
    asset(&path.into_os_string().to_string_lossy())
}

fn asset(path: &str) -> Result<Asset, ApiError> {
    if path.ends_with(".d.ts") {
        return Err(ApiError::new(ErrorCode::NotFound, "Types are not served"));
    }
    EmbeddedFile::find::<Files>(path).map(Asset)
}

/// A file of the console, with what the browser may do with it.
struct Asset(EmbeddedFile);

impl<'r> Responder<'r, 'static> for Asset {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        Response::build_from(self.0.respond_to(request)?)
            .raw_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .raw_header("Cross-Origin-Opener-Policy", "same-origin")
            .raw_header("Cross-Origin-Resource-Policy", "same-origin")
            .raw_header("Referrer-Policy", "no-referrer")
            .ok()
    }
}
