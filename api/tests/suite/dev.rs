//! `tinistreamer dev`, and a debug build without settings: a broker starts at once, and prints
//! where it is and its keys.

use std::{net::Ipv4Addr, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpStream,
    process::Child,
    sync::Mutex,
};

use crate::common::{
    broker::{API_KEY, PROGRAM, SECRET_KEY, answer, limited, program},
    http_client, within,
};

/// Held while a broker looks for a free port and takes it: another could take it in between.
static STARTING: Mutex<()> = Mutex::const_new(());

/// A broker that was started by hand.
struct Started {
    url: String,
    /// The values of the printed `export` lines, by variable.
    exports: Vec<(String, String)>,
    _process: Child,
}

/// Starts the program, and reads what it prints.
async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Started {
    let starting = STARTING.lock().await;
    let mut command = program();
    let command = command.args(arguments).envs(environment.iter().copied());
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let first = within(lines.next_line()).await.unwrap().unwrap();
    drop(starting);
    let mut words = first.split_whitespace();
    let url = words.find(|word| word.starts_with("http://")).unwrap();
    let is_set = |name: &str| environment.iter().any(|(set, _)| *set == name);
    let mut missing = ["STREAMER_API_KEY", "STREAMER_SECRET_KEY"].map(|name| !is_set(name));
    missing.sort_unstable();
    let mut exports = Vec::new();
    while exports.len() < missing.iter().filter(|it| **it).count() {
        let line = within(lines.next_line()).await.unwrap().unwrap();
        if let Some((variable, value)) = line
            .strip_prefix("export ")
            .and_then(|it| it.split_once('='))
        {
            exports.push((variable.to_owned(), value.to_owned()));
        }
    }
    Started {
        url: url.to_owned(),
        exports,
        _process: process,
    }
}

impl Started {
    fn export(&self, variable: &str) -> &str {
        let mut exports = self.exports.iter();
        &exports.find(|(name, _)| name == variable).unwrap().1
    }

    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What the broker says about itself.
    async fn info(&self, api_key: &str) -> Value {
        let url = format!("{}/api/info", self.url);
        let request = http_client().get(url).header("X-API-KEY", api_key);
        let (status, info) = answer(request).await;
        assert_eq!(status, 200, "{info}");
        info
    }
}

#[tokio::test]
async fn the_debug_profile_makes_up_keys_and_prints_them() {
    let environment = [
        ("ROCKET_PROFILE", "debug"),
        ("STREAMER_REDIS_URL", "memory:"),
        ("STREAMER_PORT", "0"),
    ];
    let broker = start(&[], &environment).await;
    broker.info(broker.export("STREAMER_API_KEY")).await;
}

#[tokio::test]
async fn dev_starts_in_a_release_build_whatever_is_set_for_a_broker_that_serves() {
    let environment = [
        ("STREAMER_REDIS_URL", "redis://redis.invalid"),
        ("STREAMER_ADDRESS", "0.0.0.0"),
        ("STREAMER_CONSOLE", "off"),
    ];
    for environment in [&[][..], &environment[..]] {
        let broker = start(&["dev"], environment).await;
        let info = broker.info(broker.export("STREAMER_API_KEY")).await;
        assert_eq!(info["store"], "memory", "{info}");
        assert_eq!(broker.export("STREAMER_SECRET_KEY").len(), 64);
        let console = http_client().get(&broker.url).send().await.unwrap();
        assert_eq!(console.status(), 200);
        // All of 127.0.0.0/8 is this machine. A broker that listens on every address is there too.
        let other = (Ipv4Addr::new(127, 0, 0, 2), broker.port());
        assert!(within(TcpStream::connect(other)).await.is_err());
    }
}

#[tokio::test]
async fn dev_uses_the_keys_that_are_set() {
    let environment = [
        ("STREAMER_API_KEY", API_KEY),
        ("STREAMER_SECRET_KEY", SECRET_KEY),
    ];
    let broker = start(&["dev"], &environment).await;
    broker.info(API_KEY).await;
    let one_key = [("STREAMER_API_KEY", API_KEY)];
    let broker = start(&["dev"], &one_key).await;
    broker.info(API_KEY).await;
    assert_eq!(broker.exports.len(), 1);
}

#[tokio::test]
async fn dev_takes_another_port_where_one_is_in_use_unless_a_port_is_set() {
    let (first, second) = (start(&["dev"], &[]).await, start(&["dev"], &[]).await);
    assert_ne!(first.port(), second.port());
    for broker in [&first, &second] {
        assert!((8000..8100).contains(&broker.port()), "{}", broker.url);
    }
    let port = first.port().to_string();
    for (arguments, environment) in [
        (&["dev", "--port", &port][..], &[][..]),
        (&["dev"][..], &[("STREAMER_PORT", port.as_str())][..]),
    ] {
        let mut command = program();
        let command = command.args(arguments).envs(environment.iter().copied());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = String::new();
        let mut stderr = process.stderr.take().unwrap();
        within(stderr.read_to_string(&mut log)).await.unwrap();
        assert_eq!(within(process.wait()).await.unwrap().code(), Some(1));
        assert!(log.contains("another program listens there"), "{log}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_broker_raises_its_soft_limit_of_open_files() {
    let starting = STARTING.lock().await;
    let mut process = limited(PROGRAM, "-Sn", 64)
        .arg("dev")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    within(lines.next_line()).await.unwrap().unwrap();
    drop(starting);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id().unwrap()));
    let limits = limits.unwrap();
    let line = limits.lines().find(|it| it.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    let (soft, hard) = (words[3], words[4]);
    assert_ne!(soft, "64");
    assert_eq!(soft, hard);
}
