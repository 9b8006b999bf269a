//! The console: a page at `/` that shows streams live and lets people try the interface. Its files
//! are in `api/console/www` and part of the binary. The page uses only the HTTP interface.

use std::{borrow::Cow, path::PathBuf};

use rocket::{
    Request, Route, get,
    http::{ContentType, Header, Status},
    response::{self, Responder, Response},
    routes,
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::{ApiError, ErrorCode};

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
#[exclude = "*.d.ts"]
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
    let kind = path
        .rsplit_once('.')
        .and_then(|(_, extension)| ContentType::from_extension(extension))
        .unwrap_or(ContentType::Plain);
    let file = Files::get(path)
        .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "The console has no such file"))?;
    Ok(Asset { kind, file })
}

struct Asset {
    kind: ContentType,
    file: EmbeddedFile,
}

impl<'r> Responder<'r, 'static> for Asset {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let tag = format!("\"{}\"", hex::encode(self.file.metadata.sha256_hash()));
        let mut response = Response::build();
        response
            // Browsers revalidate each file, so that a page never runs scripts of another version.
            .raw_header("Cache-Control", "no-cache")
            .raw_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .raw_header("Cross-Origin-Opener-Policy", "same-origin")
            .raw_header("Cross-Origin-Resource-Policy", "same-origin")
            .raw_header("Referrer-Policy", "no-referrer")
            .raw_header("X-Content-Type-Options", "nosniff")
            .header(Header::new("ETag", tag.clone()));
        if request
            .headers()
            .get("If-None-Match")
            .any(|tags| tags.contains(&tag))
        {
            return response.status(Status::NotModified).ok();
        }
        response.header(self.kind);
        match self.file.data {
            Cow::Borrowed(bytes) => response.sized_body(bytes.len(), std::io::Cursor::new(bytes)),
            Cow::Owned(bytes) => response.sized_body(bytes.len(), std::io::Cursor::new(bytes)),
        };
        response.ok()
    }
}
