//! The commands in the guides run as printed.

use crate::common::{
    Kind, broker,
    broker::{API_KEY, Broker},
    within,
};

/// Streams that the commands of the guides expect, unless they create them.
const KEYS: [&str; 2] = ["chat-1", "chat-42"];

/// The shell blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = format!("{}/../docs/guides/{page}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

fn creates_a_stream(block: &str) -> bool {
    block
        .split_whitespace()
        .any(|word| word.ends_with("/api/stream"))
}

async fn run(broker: &Broker, block: &str) -> String {
    let output = within(
        tokio::process::Command::new("bash")
            .arg("-euo")
            .arg("pipefail")
            .arg("-c")
            .arg(block.replace("http://127.0.0.1:8000", &broker.url))
            .env("STREAMER_API_KEY", API_KEY)
            .output(),
    )
    .await
    .unwrap();
    assert!(
        output.status.success(),
        "{block}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs each block of a page with a broker of its own. Returns how many there are.
async fn all_succeed(page: &str) -> usize {
    let blocks = blocks(page);
    for block in &blocks {
        let broker = broker(Kind::Memory).start().await;
        if !creates_a_stream(block) {
            for key in KEYS {
                broker.create(key).await;
            }
        }
        let text = run(&broker, block).await;
        assert!(
            text.starts_with('{') && !text.contains("\"code\":\""),
            "{page}: {block}\nanswers {text}"
        );
    }
    blocks.len()
}

#[tokio::test]
async fn publishing() {
    assert_eq!(all_succeed("publish").await, 4);
}

#[tokio::test]
async fn stopping_an_answer() {
    assert_eq!(all_succeed("stop-an-answer").await, 2);
}

#[tokio::test]
async fn a_producer_that_dies() {
    assert_eq!(all_succeed("when-a-producer-dies").await, 2);
}
