//! Loading all settings, or listing every problem at once.

use rocket::figment::Figment;

use super::{
    source::{Problem, Source},
    table::{self, NAMES, Settings},
    values::{Delivery, StoreUrl},
};

impl Settings {
    /// Reads the settings from Rocket's configuration (defaults, `Rocket.toml`, `ROCKET_*`) and
    /// from `environment`, which wins. Ignores variables without our prefix. An empty variable
    /// counts as not set.
    ///
    /// Errors: every problem, each in one line that names the setting, what it holds (never a
    /// secret), and what it takes.
    pub fn load(
        figment: &Figment,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut source = Source::new(figment, environment);
        source.report_unknown_names(NAMES);
        match table::read(&mut source) {
            Some(settings) if source.problems.is_empty() => Ok(settings),
            _ => Err(source.problems),
        }
    }

    /// How live events come from Redis; none with the embedded store.
    #[must_use]
    pub fn redis_delivery(&self) -> Option<Delivery> {
        (self.store != StoreUrl::Memory).then_some(self.delivery)
    }
}
