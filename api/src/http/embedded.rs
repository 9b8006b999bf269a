//! Serves files that are part of the binary: the console, and the page of the OpenAPI document.

use std::{borrow::Cow, io::Cursor};

use rocket::{
    Request,
    http::{ContentType, Header, Status},
    response::{self, Responder, Response},
};
use rust_embed::RustEmbed;

use super::error::{ApiError, ErrorCode};

/// A file of the binary, as a response.
///
/// Browsers ask each time whether they have the newest one, by its `ETag`, so that a page never
/// runs scripts of another version
/// ([RFC 9110, section 13.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2)).
pub(super) struct EmbeddedFile {
    kind: ContentType,
    file: rust_embed::EmbeddedFile,
}

impl EmbeddedFile {
    /// Finds a file by its path in the folder.
    ///
    /// Errors: 404 `not-found` when the folder has no such file.
    pub(super) fn find<Folder: RustEmbed>(path: &str) -> Result<Self, ApiError> {
        let file = Folder::get(path)
            .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "The page has no such file"))?;
        let kind = path
            .rsplit_once('.')
            .and_then(|(_, extension)| ContentType::from_extension(extension))
            .unwrap_or(ContentType::Plain);
        Ok(Self { kind, file })
    }
}

impl<'r> Responder<'r, 'static> for EmbeddedFile {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let tag = format!("\"{}\"", hex::encode(self.file.metadata.sha256_hash()));
        let mut response = Response::build();
        response
            .raw_header("Cache-Control", "no-cache")
            .raw_header("X-Content-Type-Options", "nosniff")
            .header(Header::new("ETag", tag.clone()));
        let mut known = request.headers().get("If-None-Match");
        if known.any(|tags| tags.contains(&tag)) {
            return response.status(Status::NotModified).ok();
        }
        response.header(self.kind);
        match self.file.data {
            Cow::Borrowed(bytes) => response.sized_body(bytes.len(), Cursor::new(bytes)),
            Cow::Owned(bytes) => response.sized_body(bytes.len(), Cursor::new(bytes)),
        };
        response.ok()
    }
}
