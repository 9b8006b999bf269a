//! Why a script can't be used, and errors of Lua as text.

use std::{io, path::PathBuf};

use crate::{bounded::bounded, hooks::HookError};

/// The most bytes of a message of Lua: it may quote data.
const MAX_MESSAGE_BYTES: usize = 1_024;

/// Where Lua's messages have their stack.
const STACK: &str = "\nstack traceback:";

/// Why a script can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Its file can't be read.
    #[error("the script {} can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has an error, or reached a limit while it was loaded.
    #[error("the script {} can't be loaded: {message}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What Lua says, with file and line.
        message: String,
    },
    /// Its hook `startup` failed.
    #[error("the script does not start: {0}")]
    Startup(#[from] HookError),
    /// The system gives no thread.
    #[error("the script has no thread: {0}")]
    Thread(io::Error),
}

/// An error of Lua in one piece, without its stack. It begins with file and line where Lua knows
/// them.
pub(super) fn message(error: &mlua::Error) -> String {
    let text = match error {
        mlua::Error::CallbackError { traceback, cause } => {
            let text = message(cause);
            // Errors of Lua have their place. Those of a module, or of a limit, have none.
            match place(traceback) {
                Some(place) if !text.contains(&format!("{place}:")) => format!("{place}: {text}"),
                _ => text,
            }
        }
        mlua::Error::RuntimeError(text) => text.clone(),
        error => error.to_string(),
    };
    let text = text.split(STACK).next().unwrap_or_default().trim();
    bounded(text.to_owned().into(), MAX_MESSAGE_BYTES).into_owned()
}

/// File and line of the innermost function in Lua of a stack.
fn place(traceback: &str) -> Option<&str> {
    traceback.lines().find_map(|line| {
        let (place, _) = line.trim().split_once(": in ")?;
        let (file, number) = place.rsplit_once(':')?;
        // mlua has functions in Lua of its own.
        let is_script = !file.starts_with('[') && !file.starts_with("__mlua");
        (is_script && number.parse::<u32>().is_ok()).then_some(place)
    })
}

/// Whether the state has used up its memory.
pub(super) fn is_out_of_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_out_of_memory(cause),
        _ => false,
    }
}
