//! The `.env` file: variables for the process, from the folder in which it starts or one above it.

use std::path::Path;

use tinistreamer::config::Problem;

/// Reads the file into the environment. A variable that is already set wins. Returns what an
/// operator should know about the file.
pub(crate) fn load() -> Result<Vec<String>, Problem> {
    match dotenvy::dotenv() {
        Ok(file) => Ok(warnings(&file, std::env::current_dir().ok().as_deref())),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(error) => {
            // The error's own text shows the line, which may hold a secret.
            let place = match &error {
                dotenvy::Error::LineParse(_, column) => {
                    format!("a line can't be read from character {column} on")
                }
                other => other.to_string(),
            };
            Err(Problem(format!("The .env file can't be used: {place}")))
        }
    }
}

/// Warns about a file in another folder, and about one that is open to other users.
fn warnings(file: &Path, folder: Option<&Path>) -> Vec<String> {
    let elsewhere = folder.is_some_and(|folder| file.parent() != Some(folder));
    let elsewhere = elsewhere.then(|| {
        format!(
            "Settings come from {}, which is not in the folder where the broker started",
            file.display()
        )
    });
    elsewhere.into_iter().chain(open_to_others(file)).collect()
}

/// Warns when every user of the machine may read or change the file, which holds the broker's keys.
#[cfg(unix)]
fn open_to_others(file: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o7777;
    let may = match mode & 0o006 {
        0 => return None,
        0o004 => "read",
        _ => "change",
    };
    Some(format!(
        "Every user of this machine may {may} {} (mode {mode:03o}), which may hold secrets; \
         chmod 600 closes it",
        file.display()
    ))
}

/// Other systems have no such mode.
#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Option<String> {
    None
}
