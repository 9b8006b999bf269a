//! Publishes a stream, and follows it.

use std::env;

use tinistreamer_client::{Client, subscribe};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("STREAMER_URL").unwrap_or("http://127.0.0.1:8000".into());
    let client = Client::new(url, env::var("STREAMER_API_KEY")?)?;
    // It keeps its newest 100,000 events, so that a subscriber that comes late gets all of them.
    let access = client.create_stream("hello").await?;

    let mut writer = client.publish("hello").start()?;
    for word in ["Hello ", "from ", "a ", "stream"] {
        writer.write("token", word).await?;
    }
    writer.finish().await?;

    let mut events = subscribe(access.sse_url, access.token).start()?;
    let answer = events.collect_all().text("token").await?;
    assert_eq!(answer, "Hello from a stream");
    Ok(())
}
