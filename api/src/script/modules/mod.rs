//! The modules that a script may `require`.
