//! The environment variables that settings come from.

use tinistreamer::config::variable;

/// Variables and their values. A command may change some before the settings are read.
pub(crate) struct Environment(Vec<(String, String)>);

impl Environment {
    /// The variables of this process.
    pub(crate) fn of_process() -> Self {
        let as_text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let value = value.to_string_lossy().into_owned();
            Some((name.into_string().ok()?, value))
        };
        Self(std::env::vars_os().filter_map(as_text).collect())
    }

    /// Whether the variable of a setting has a value. An empty one counts as not set.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        let variable = variable(name);
        let mut all = self.0.iter();
        all.any(|(set, value)| *set == variable && !value.is_empty())
    }

    /// Gives a setting this value, in place of any other.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        let variable = variable(name);
        self.0.retain(|(other, _)| *other != variable);
        self.0.push((variable, value));
    }
}

impl IntoIterator for Environment {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
