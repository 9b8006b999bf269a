//! The quick start of the README.

use tokio::process::Command;

use crate::common::{API_KEY, Broker};

const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = include_str!("../../examples/quickstart.rs");

#[test]
fn the_readme_starts_with_the_example() {
    let (_, rest) = README
        .split_once("```rust,no_run\n")
        .expect("a block of Rust");
    let (block, _) = rest.split_once("```\n").expect("its end");
    assert_eq!(block, EXAMPLE);
}

#[tokio::test]
async fn the_quick_start_works_unchanged() {
    let broker = Broker::start().await;
    // Cargo builds the example with the tests and next to them, unless a command selects one test
    // only.
    let tests = std::env::current_exe().expect("a path");
    let example = tests
        .ancestors()
        .nth(2)
        .expect("a folder")
        .join("examples/quickstart");
    let output = Command::new(example)
        .env("STREAMER_URL", &broker.url)
        .env("STREAMER_API_KEY", API_KEY)
        .output()
        .await
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
}
