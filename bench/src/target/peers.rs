//! Peers: servers of other projects.

use std::path::Path;

/// The message for a peer that is not installed.
pub(super) fn not_set_up(path: &Path) -> String {
    format!("{} (`bench/peers/setup` installs it)", path.display())
}
