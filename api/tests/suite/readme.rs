//! The commands in the README run as printed.

use crate::common::{Kind, broker, broker::API_KEY, within};

/// The shell blocks of a section.
fn blocks(section: &str) -> Vec<String> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let section = text
        .split(&format!("\n## {section}\n"))
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap()
        .to_owned();
    section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_quick_start_shows_events_as_they_are_sent() {
    let broker = broker(Kind::Memory).start().await;
    let commands = blocks("Quick start");
    assert_eq!(commands[0], "npx tinistreamer dev\n");
    // The next steps: create, follow and push; end.
    let script = format!("{}\n{}\nwait", commands[1], commands[2])
        .replace("http://127.0.0.1:8000", &broker.url);
    let output = within(
        tokio::process::Command::new("bash")
            .arg("-euc")
            .arg(script)
            .env("STREAMER_API_KEY", API_KEY)
            .output(),
    )
    .await
    .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    for wanted in [
        "event: start\n",
        "data: Hello\n",
        "data: stream\n",
        "\"num_events\":4",
        "\"status\":\"ended\"",
        "event: end\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in {text}");
    }
    assert!(
        text.find("data: Hello").unwrap() < text.find("num_events").unwrap(),
        "before the end of the upload"
    );
}
