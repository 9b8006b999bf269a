//! The baseline: the smallest Rocket program that broadcasts prepared bytes from memory to
//! subscribers of server-sent events. It has no store, no keys, no history and no resume. The
//! difference between a broker on the same framework and the baseline is the broker's own cost.

#![allow(
    clippy::print_stdout,
    reason = "the address is what its starter waits for"
)]

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes, BytesMut};
use rocket::{
    Config, Data, State,
    config::LogLevel,
    data::ToByteUnit,
    fairing::AdHoc,
    get,
    http::ContentType,
    post,
    response::stream::ByteStream,
    routes,
    tokio::{
        io::{AsyncBufReadExt, BufReader},
        sync::broadcast,
    },
};

/// How many messages a subscriber may lag behind before it skips some. More than the window of the
/// load generator's publisher.
const CAPACITY: usize = 4096;

/// A channel holds the subscribers of one key.
struct Channel {
    sender: broadcast::Sender<Bytes>,
    /// The number of the next event.
    next: Mutex<u64>,
}

#[derive(Default)]
struct Channels(Mutex<HashMap<String, Arc<Channel>>>);

impl Channels {
    fn at(&self, key: &str) -> Arc<Channel> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(key) {
            return Arc::clone(channel);
        }
        let channel = Arc::new(Channel {
            sender: broadcast::channel(CAPACITY).0,
            next: Mutex::new(0),
        });
        channels.insert(key.to_owned(), Arc::clone(&channel));
        channel
    }
}

impl Channel {
    /// Broadcasts each line as an event, all in one message. Returns the number of the next event.
    fn publish(&self, lines: &[u8]) -> u64 {
        let milliseconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let mut out = BytesMut::with_capacity(lines.len() * 2);
        // Held during the send, so that events are sent in the order of their numbers.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let _ = write!(
                (&mut out).writer(),
                "id: {milliseconds}-{next}\nevent: n\ndata: "
            );
            out.put_slice(line);
            out.put_slice(b"\n\n");
            *next += 1;
        }
        // Sending fails when there are no subscribers.
        let _ = self.sender.send(out.freeze());
        *next
    }
}

#[get("/sse?<key>")]
fn sse(key: &str, channels: &State<Channels>) -> (ContentType, ByteStream![Bytes]) {
    let mut receiver = channels.at(key).sender.subscribe();
    let stream = ByteStream! {
        loop {
            match receiver.recv().await {
                Ok(bytes) => yield bytes,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
    };
    (ContentType::EventStream, stream)
}

/// Publishes all lines of the body in one message.
#[post("/publish?<key>", data = "<body>")]
async fn publish(key: &str, body: Data<'_>, channels: &State<Channels>) -> std::io::Result<String> {
    let body = body.open(16.mebibytes()).into_bytes().await?;
    Ok(channels.at(key).publish(&body).to_string())
}

/// Publishes each line when it arrives.
#[post("/upload?<key>", data = "<body>")]
async fn upload(key: &str, body: Data<'_>, channels: &State<Channels>) -> std::io::Result<String> {
    let channel = channels.at(key);
    let mut lines = BufReader::new(body.open(1.gibibytes())).split(b'\n');
    let mut next = 0;
    while let Some(line) = lines.next_segment().await? {
        next = channel.publish(&line);
    }
    Ok(next.to_string())
}

#[rocket::main]
async fn main() -> Result<(), Box<rocket::Error>> {
    let config = Config {
        port: 0,
        log_level: LogLevel::Off,
        ..Config::release_default()
    };
    let greet = AdHoc::on_liftoff("address", |rocket| {
        Box::pin(async move {
            println!(
                "baseline listens on http://{}:{}",
                rocket.config().address,
                rocket.config().port
            );
        })
    });
    rocket::custom(config)
        .manage(Channels::default())
        .attach(greet)
        .mount("/", routes![sse, publish, upload])
        .launch()
        .await?;
    Ok(())
}
