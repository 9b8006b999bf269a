//! The reference of the settings: as a Markdown table, as `.env.example`, and as text.

use std::fmt::Write;

use super::{
    source::variable,
    table::{Setting, reference},
};

/// The width of prose, its indentation or comment sign included.
const COLUMNS: usize = 100;

/// What `.env.example` says before its first setting.
const ENV_HEADER: &str = "\
# Settings of tinistreamer. Copy this file: `install -m 600 .env.example .env`. The broker reads
# .env from the folder in which it starts, or from one above; Docker Compose reads it too. A
# variable of the process wins over this file. An empty one counts as not set. The broker warns when
# every user of the machine may read the file, or when the file is in a folder above.
#
# The values in this file are the defaults. `make settings` writes this file.
";

/// The settings as a Markdown table, for `docs/reference/settings.md`.
#[must_use]
pub fn markdown() -> String {
    let mut table = "| variable | default | takes | meaning |\n|---|---|---|---|\n".to_owned();
    for setting in reference() {
        let default = match (setting.default, setting.other_default) {
            (None, _) => "required".to_owned(),
            (Some(""), _) => "empty".to_owned(),
            (Some(default), None) => format!("`{default}`"),
            (Some(default), Some(other)) => format!("`{default}`; {other}"),
        };
        let Setting { takes, about, .. } = &setting;
        // A string always takes what is written.
        let _ = writeln!(
            table,
            "| `{}` | {default} | {takes} | {about} |",
            variable(setting.name)
        );
    }
    table
}

/// The text of `.env.example`: a comment and a commented-out line for each setting.
#[must_use]
pub fn env_example() -> String {
    let mut file = ENV_HEADER.to_owned();
    let mut group = "";
    for setting in reference() {
        if setting.group != group {
            group = setting.group;
            let _ = writeln!(file, "\n# --- {group}\n");
        }
        describe(&mut file, "# ", &setting);
        let default = setting.default.unwrap_or_default();
        let _ = writeln!(file, "#{}={default}", variable(setting.name));
    }
    file
}

/// The settings as text, for a terminal.
#[must_use]
pub fn text() -> String {
    let mut text = String::new();
    for setting in reference() {
        let _ = writeln!(text, "{}", variable(setting.name));
        describe(&mut text, "    ", &setting);
        let shown = |default: &'static str| if default.is_empty() { "empty" } else { default };
        let default = setting
            .default
            .map(|default| format!("Default: {}", shown(default)));
        let default = default.as_deref().unwrap_or("Required");
        let _ = writeln!(text, "    {default}");
    }
    text
}

/// Writes what a setting means, then what it takes.
fn describe(to: &mut String, prefix: &str, setting: &Setting) {
    wrap(to, prefix, setting.about);
    let mut takes = format!("Takes {}.", setting.takes);
    if let Some(other) = setting.other_default {
        let _ = write!(takes, " The default is {other}.");
    }
    wrap(to, prefix, &takes);
}

/// Writes the text in lines of at most [`COLUMNS`] characters. A longer word has its own line.
fn wrap(to: &mut String, prefix: &str, text: &str) {
    let mut line = prefix.to_owned();
    for word in text.split(' ') {
        let is_first = line.len() == prefix.len();
        if !is_first && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(to, "{line}");
            prefix.clone_into(&mut line);
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(to, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_at_the_columns_and_no_word_is_split() {
        let mut text = String::new();
        let long = "x".repeat(COLUMNS);
        wrap(
            &mut text,
            "# ",
            &format!("{} {long} end", "word ".repeat(30).trim()),
        );
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("# ")), "{text}");
        assert!(
            lines
                .iter()
                .all(|line| line.len() <= COLUMNS || line.contains(&long)),
            "{text}"
        );
        assert_eq!(text.matches("word").count(), 30);
        assert!(lines.contains(&format!("# {long}").as_str()) && lines.contains(&"# end"));
    }
}
