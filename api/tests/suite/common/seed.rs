//! Random numbers that a test can repeat.

/// The seed of all random numbers in a test. `SEED` in the environment sets it. A failing test
/// prints it.
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn new() -> Self {
        Self(
            std::env::var("SEED")
                .ok()
                .map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a number")),
        )
    }
}

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "for the reader of a failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={}", self.0);
        }
    }
}
