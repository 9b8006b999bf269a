//! The results of a report's runs.

use std::collections::BTreeMap;

use crate::{result::RunResult, target::Kind};

/// The results by row and target. A row that could not be run is missing.
pub(super) type Results = BTreeMap<(&'static str, Kind), RunResult>;
