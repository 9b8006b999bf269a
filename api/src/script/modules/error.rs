//! What a module reports to the script that uses it.

/// A function of a module failed. In Lua it is an error; `tostring` gives the text, followed by the
/// place in the script.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// An argument has a wrong type, or a value outside of its range.
    #[error("{function}: `{argument}` must be {expected}, not {found}")]
    Argument {
        /// The function, with its module.
        function: &'static str,
        /// The argument, or a field of it.
        argument: String,
        /// What the function takes.
        expected: &'static str,
        /// What the script gave.
        found: String,
    },
    /// An argument or a result is larger than the module handles.
    #[error("{function}: {what} has more than {limit}")]
    TooLarge {
        /// The function, with its module.
        function: &'static str,
        /// What is too large.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// The function can't do what it was asked for.
    #[error("{function}: {reason}")]
    Failed {
        /// The function, with its module.
        function: &'static str,
        /// Why.
        reason: String,
    },
    /// A setting has to allow the module.
    #[error("the module `{module}` is off. {setting}=on allows it")]
    NotAllowed {
        /// The module.
        module: &'static str,
        /// The setting.
        setting: &'static str,
    },
}

impl From<ModuleError> for mlua::Error {
    fn from(error: ModuleError) -> Self {
        Self::external(error)
    }
}
