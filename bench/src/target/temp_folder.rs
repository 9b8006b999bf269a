//! A temporary folder for the files of a process.

use std::path::{Path, PathBuf};

use crate::error::{Error, Outcome};

/// Removed when dropped.
pub(super) struct TempFolder(PathBuf);

impl TempFolder {
    pub(super) fn new() -> Outcome<Self> {
        let name = format!(
            "tinistreamer-bench-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0)
            .map_err(|error| Error::System(folder.0.display().to_string(), error))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
