//! The job of a subscriber that reads the whole text of a stream.

use serde::Deserialize;
use serde_json::json;
use tinistreamer_client::{Error, Status, subscribe};

use super::{Defect, failed, write_line};

#[derive(Deserialize)]
pub(super) struct TextJob {
    url: String,
    token: String,
    #[serde(default)]
    allow_missed: bool,
}

pub(super) async fn run(job: TextJob) -> Result<(), Defect> {
    if let Err(error) = read(job).await? {
        failed(&error)
    } else {
        Ok(())
    }
}

async fn read(job: TextJob) -> Result<Result<(), Error>, Defect> {
    let mut events = subscribe(job.url, job.token).start()?;
    let collect = events.collect_all();
    let collect = if job.allow_missed {
        collect.allow_missed()
    } else {
        collect
    };
    let text = match collect.text("token").await {
        Ok(text) => text,
        Err(error) => return Ok(Err(error)),
    };
    let missed = events
        .missed()
        .map(|missed| json!({"count": missed.count, "known": missed.known}));
    write_line(&json!({
        "type": "text",
        "text": text,
        "missed": missed,
        "status": events.status().map(Status::as_str),
    }))?;
    Ok(Ok(()))
}
