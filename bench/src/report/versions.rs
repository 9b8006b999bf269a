//! The versions of the measured programs, and the machine.

use std::{fs, path::Path, process::Command};

use crate::target::Selection;

/// The version of each program. A missing program does not prevent the page.
pub(super) fn versions(selection: &Selection) -> [(&'static str, String); 6] {
    let peer = |name: &str| {
        fs::read_to_string(selection.peers.join(name))
            .map_or_else(|_| UNKNOWN.to_owned(), |text| text.trim().to_owned())
    };
    [
        ("tinistreamer", version_of(&selection.broker, "--version")),
        (
            "redis-server",
            version_of(Path::new("redis-server"), "--version"),
        ),
        ("nginx", version_of(Path::new("nginx"), "-v")),
        ("libnginx-mod-nchan", peer("nchan.version")),
        ("durable-streams", peer("durable-streams.version")),
        ("machine", machine()),
    ]
}

/// The introduction of a page, with the commit of its figures: that of the work tree in which the
/// load generator was started.
pub(super) fn with_commit(introduction: &str) -> String {
    introduction.replacen("MEASURED_AT", &measured_at(), 1)
}

/// The sentence that names the commit.
fn measured_at() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
    line(
        git(&["rev-parse", "--short=7", "HEAD"]).as_deref(),
        changes.is_some_and(|changes| !changes.is_empty()),
    )
}

fn line(commit: Option<&str>, is_changed: bool) -> String {
    let commit = commit.map_or_else(
        || "an unknown commit".to_owned(),
        |commit| format!("commit `{commit}`"),
    );
    format!(
        "Measured at {commit}{}.",
        if is_changed { ", with changes" } else { "" }
    )
}

const UNKNOWN: &str = "unknown";

/// The version in a program's output: the first word that begins with a digit, after an optional
/// prefix.
fn version_of(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else {
        return UNKNOWN.to_owned();
    };
    // nginx writes it to stderr.
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    version(&text).unwrap_or(UNKNOWN).to_owned()
}

fn version(text: &str) -> Option<&str> {
    let words = text
        .split_ascii_whitespace()
        .map(|word| word.rsplit(['/', '=']).next().unwrap_or(word));
    words
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
}

/// Processor, cores and kernel.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(UNKNOWN, |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{model}, {cores} cores, Linux {kernel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_its_commit() {
        assert_eq!(
            line(Some("44237bd"), false),
            "Measured at commit `44237bd`."
        );
        assert_eq!(
            line(Some("44237bd"), true),
            "Measured at commit `44237bd`, with changes."
        );
        assert_eq!(line(None, false), "Measured at an unknown commit.");
        assert!(with_commit("MEASURED_AT It").starts_with("Measured at "));
    }

    /// Without a commit nobody can check the figures.
    #[test]
    fn pages_with_figures_name_their_commit() {
        let pages = [
            (
                "docs/operations/performance.md",
                include_str!("../../../docs/operations/performance.md"),
            ),
            (
                "docs/operations/comparison.md",
                include_str!("../../../docs/operations/comparison.md"),
            ),
            (
                "docs/architecture.md",
                include_str!("../../../docs/architecture.md"),
            ),
        ];
        for (name, page) in pages {
            let commit = page
                .split_once("easured at commit `")
                .and_then(|(_, rest)| rest.split_once('`'));
            let is_one = |(commit, _): (&str, _)| {
                commit.len() >= 7 && commit.chars().all(|digit| digit.is_ascii_hexdigit())
            };
            assert!(
                commit.is_some_and(is_one),
                "{name} has figures and names no commit"
            );
        }
    }

    #[test]
    fn versions_are_found_in_the_output_of_programs() {
        assert_eq!(version("nginx version: nginx/1.22.1\n"), Some("1.22.1"));
        assert_eq!(
            version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"),
            Some("7.0.15")
        );
        assert_eq!(version("tinistreamer 0.1.0\n"), Some("0.1.0"));
        assert_eq!(version("no such thing"), None);
    }
}
