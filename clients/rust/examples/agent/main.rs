//! The agent of `tests/clients`: does one job over the client's public interface. It reads the job
//! and writes its results as lines of JSON.

mod control;
mod manage;
mod publish;
mod subscribe;
mod text;

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{Client, Error};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

/// An error of the agent itself.
type Defect = Box<dyn std::error::Error + Send + Sync>;

type Input = Lines<BufReader<Stdin>>;

#[derive(Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
enum Job {
    Subscribe(subscribe::SubscribeJob),
    Publish(publish::PublishJob),
    Manage { url: String, api_key: String },
    Text(text::TextJob),
}

#[tokio::main]
async fn main() -> Result<(), Defect> {
    work().await?;
    // The thread that waits for input would keep the program running while the input is open.
    std::process::exit(0)
}

async fn work() -> Result<(), Defect> {
    let mut input = BufReader::new(stdin()).lines();
    let job = input.next_line().await?.ok_or("no job")?;
    match serde_json::from_str(&job)? {
        Job::Subscribe(job) => subscribe::run(input, job).await,
        Job::Publish(job) => publish::publish(input, job).await,
        Job::Text(job) => text::run(job).await,
        Job::Manage { url, api_key } => manage::manage(input, &Client::new(url, api_key)?).await,
    }
}

fn failed(error: &Error) -> Result<(), Defect> {
    let status = if let Error::Api { status, .. } = error {
        *status
    } else {
        None
    };
    write_line(&json!({
        "type": "failed",
        "status": status,
        "code": error.code(),
        "message": error.to_string(),
    }))
}

fn write_line(line: &Value) -> Result<(), Defect> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
