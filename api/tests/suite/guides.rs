//! The commands in the guides and in the reference run as printed.

use serde_json::json;

use crate::common::{
    Kind, broker,
    broker::{API_KEY, Broker},
    within,
};

/// Streams that the commands expect, unless they create them.
const KEYS: [&str; 5] = ["chat-1", "chat-2", "chat-42", "a", "b"];

/// The shell blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = format!("{}/../docs/{page}.md", env!("CARGO_MANIFEST_DIR"));
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

/// Makes what a block expects. Returns a token for all streams.
async fn prepare(broker: &Broker, block: &str) -> String {
    if !creates_a_stream(block) {
        for key in KEYS {
            broker.create(key).await;
            // A command that follows a stream returns at its end.
            if block.contains("/api/client/") {
                broker.add_events(key, 0, 3).await;
                broker.end(key).await;
            }
        }
    }
    let body = json!({"keys": KEYS, "wait": true});
    let (_, access) = broker.post("/api/stream/token", body).await;
    access["token"].as_str().unwrap().to_owned()
}

async fn run(broker: &Broker, block: &str, token: &str) -> String {
    // The reader's own key, and the address of the broker, are those of the test.
    let block = block.replace("export STREAMER_API_KEY=…", "");
    let output = within(
        tokio::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c"])
            .arg(block.replace("http://127.0.0.1:8000", &broker.url))
            .env("STREAMER_API_KEY", API_KEY)
            .env("TOKEN", token)
            .env("url", &broker.url)
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
        let token = prepare(&broker, block).await;
        let text = run(&broker, block, &token).await;
        assert!(
            !text.is_empty() && !text.contains("\"code\":\""),
            "{page}: {block}\nanswers {text}"
        );
    }
    blocks.len()
}

#[tokio::test]
async fn publishing() {
    assert_eq!(all_succeed("guides/publish").await, 4);
}

#[tokio::test]
async fn stopping_an_answer() {
    assert_eq!(all_succeed("guides/stop-an-answer").await, 2);
}

#[tokio::test]
async fn a_producer_that_dies() {
    assert_eq!(all_succeed("guides/when-a-producer-dies").await, 2);
}

#[tokio::test]
async fn following() {
    assert_eq!(all_succeed("guides/follow").await, 3);
}

#[tokio::test]
async fn following_many_streams() {
    assert_eq!(all_succeed("guides/many-streams").await, 1);
}

#[tokio::test]
async fn the_reference() {
    assert_eq!(all_succeed("reference/http").await, 3);
    assert_eq!(all_succeed("reference/cursors").await, 1);
}
