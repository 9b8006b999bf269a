//! The options of `tinistreamer tinysse`, by tinysse's own names and variables.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, builder::FalseyValueParser};
use serde_json::{Value, json};
use tinistreamer::{
    config::{MAX_EVENTS, Problem},
    http::tinysse::options::{
        AnyOr, CommentText, CorsOptions, StaticFiles, TinysseOptions, UrlPath,
    },
};

use crate::{
    failure::Failure,
    tinysse_units::{duration, size},
};

/// The options of `tinistreamer tinysse`.
#[derive(Args)]
pub(crate) struct TinysseArguments {
    /// The address and port to listen on
    #[arg(
        short,
        long,
        value_name = "ADDR:PORT",
        env = "TINYSSE_LISTEN",
        default_value = "127.0.0.1:1983"
    )]
    pub(crate) listen: SocketAddr,

    /// What the server logs: ERROR, WARN, INFO, DEBUG or TRACE [default: INFO]
    #[arg(short = 'L', long, value_name = "LEVEL", env = "TINYSSE_LOG_LEVEL", value_parser = level)]
    pub(crate) log_level: Option<String>,

    /// Silence after which the server sends a keep-alive comment, such as 60s or 2m. With 0s it
    /// sends none
    #[arg(
        short,
        long,
        value_name = "INTERVAL",
        env = "TINYSSE_KEEP_ALIVE",
        default_value = "60s",
        value_parser = duration
    )]
    keep_alive: Duration,

    /// The text of the keep-alive comment
    #[arg(
        short = 'K',
        long,
        value_name = "TEXT",
        env = "TINYSSE_KEEP_ALIVE_TEXT",
        default_value = "keep-alive"
    )]
    keep_alive_text: CommentText,

    /// The age at which the server closes a subscriber's connection, such as 5m. With 0s it stays
    /// open
    #[arg(
        short,
        long,
        value_name = "TIMEOUT",
        env = "TINYSSE_TIMEOUT",
        default_value = "5m",
        value_parser = duration
    )]
    timeout: Duration,

    /// The delay before a reconnect that the server sends to the subscriber then, such as 2s
    #[arg(
        short = 'r',
        long,
        value_name = "RETRY",
        env = "TINYSSE_TIMEOUT_RETRY",
        default_value = "0s",
        value_parser = duration
    )]
    timeout_retry: Duration,

    /// How many messages the server keeps for subscribers that are slower than the publishers
    #[arg(
        short,
        long,
        value_name = "CAPACITY",
        env = "TINYSSE_CAPACITY",
        default_value_t = 256,
        value_parser = clap::value_parser!(u64).range(MAX_EVENTS)
    )]
    capacity: u64,

    /// A script in Lua with hooks
    #[arg(short, long, value_name = "FILE_PATH", env = "TINYSSE_SCRIPT")]
    pub(crate) script: Option<PathBuf>,

    /// Text for the script: `script_data` in the table of its hook `startup`
    #[arg(long, value_name = "DATA", env = "TINYSSE_SCRIPT_DATA")]
    script_data: Option<String>,

    /// How often the server calls the hook `tick`, such as 1s or 500ms
    #[arg(
        long,
        value_name = "INTERVAL",
        env = "TINYSSE_SCRIPT_TICK",
        default_value = "500ms",
        value_parser = duration
    )]
    pub(crate) script_tick: Duration,

    /// Let the script load native code. Such code may do everything that the server may
    #[arg(
        long,
        env = "TINYSSE_UNSAFE_SCRIPT",
        action = ArgAction::SetTrue,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) unsafe_script: bool,

    /// The most bytes of the body of a publish request, such as 32KB or 1MB
    #[arg(
        short,
        long,
        value_name = "BYTES",
        env = "TINYSSE_MAX_BODY_SIZE",
        default_value = "64KB",
        value_parser = size
    )]
    max_body_size: usize,

    /// The path for publishing, with POST
    #[arg(
        short = 'P',
        long,
        value_name = "URL_PATH",
        env = "TINYSSE_PUB_PATH",
        default_value = "/sse"
    )]
    pub_path: UrlPath,

    /// The path for subscribing, with GET
    #[arg(
        short = 'S',
        long,
        value_name = "URL_PATH",
        env = "TINYSSE_SUB_PATH",
        default_value = "/sse"
    )]
    sub_path: UrlPath,

    /// A folder of static files to serve. Files whose name begins with a dot are not served
    #[arg(
        short = 'D',
        long,
        value_name = "DIR_PATH",
        env = "TINYSSE_SERVE_STATIC_DIR"
    )]
    serve_static_dir: Option<PathBuf>,

    /// The path under which the static files are
    #[arg(
        short = 'U',
        long,
        value_name = "URL_PATH",
        env = "TINYSSE_SERVE_STATIC_PATH",
        default_value = "/"
    )]
    serve_static_path: UrlPath,

    /// Origins of pages that may read responses, separated by commas, or * for all
    #[arg(
        long,
        value_name = "ORIGINS",
        env = "TINYSSE_CORS_ALLOW_ORIGIN",
        default_value = "*"
    )]
    cors_allow_origin: AnyOr,

    /// Methods that such pages may use
    #[arg(
        long,
        value_name = "METHODS",
        env = "TINYSSE_CORS_ALLOW_METHODS",
        default_value = "GET, HEAD, POST"
    )]
    cors_allow_methods: AnyOr,

    /// Headers that such pages may set, such as Cookie,Authorization
    #[arg(
        long,
        value_name = "HEADERS",
        env = "TINYSSE_CORS_ALLOW_HEADERS",
        default_value = "*"
    )]
    cors_allow_headers: AnyOr,

    /// Let such pages send credentials. Needs lists of origins, methods and headers in place of *
    #[arg(
        long,
        env = "TINYSSE_CORS_ALLOW_CREDENTIALS",
        action = ArgAction::SetTrue,
        value_parser = FalseyValueParser::new()
    )]
    cors_allow_credentials: bool,

    /// How long browsers may cache a preflight, such as 1h. With 0s they do not
    #[arg(
        long,
        value_name = "DURATION",
        env = "TINYSSE_CORS_MAX_AGE",
        default_value = "0s",
        value_parser = duration
    )]
    cors_max_age: Duration,

    /// Where messages are: a URL as for `STREAMER_REDIS_URL`. Several nodes over one Redis are one
    /// server. A password is safer in that variable. Without both, messages are in memory
    #[arg(long, value_name = "URL")]
    pub(crate) redis_url: Option<String>,
}

fn level(text: &str) -> Result<String, &'static str> {
    let level = text.to_ascii_lowercase();
    ["error", "warn", "info", "debug", "trace"]
        .contains(&&*level)
        .then_some(level)
        .ok_or("a level is ERROR, WARN, INFO, DEBUG or TRACE")
}

impl TinysseArguments {
    /// The options of the server.
    ///
    /// Errors: options that contradict each other, and a folder that does not exist.
    pub(crate) fn options(&self) -> Result<TinysseOptions, Failure> {
        let problem = |text: String| Failure::Settings(vec![Problem(text)]);
        let cors = CorsOptions {
            origins: self.cors_allow_origin.clone(),
            methods: self.cors_allow_methods.clone(),
            headers: self.cors_allow_headers.clone(),
            credentials: self.cors_allow_credentials,
            max_age: self.cors_max_age,
        };
        let static_files = self.serve_static_dir.as_ref().map(|folder| StaticFiles {
            folder: folder.clone(),
            path: self.serve_static_path.clone(),
        });
        if let Some(files) = static_files.as_ref().filter(|files| !files.folder.is_dir()) {
            let folder = files.folder.display();
            return Err(problem(format!(
                "--serve-static-dir holds {folder}, which is not a folder that can be read"
            )));
        }
        Ok(TinysseOptions {
            keep_alive: self.keep_alive,
            keep_alive_text: self.keep_alive_text.clone(),
            timeout: self.timeout,
            timeout_retry: self.timeout_retry,
            capacity: self.capacity,
            max_body: self.max_body_size,
            pub_path: self.pub_path.clone(),
            sub_path: self.sub_path.clone(),
            static_files,
            cors: cors.checked().map_err(|error| problem(error.to_string()))?,
        })
    }

    /// The broker's settings that say the same of the script; none without a script.
    pub(crate) fn script_settings(&self) -> Vec<(&'static str, String)> {
        let Some(script) = &self.script else {
            return Vec::new();
        };
        let data = self.script_data.clone().unwrap_or_default();
        let is_unsafe = if self.unsafe_script { "on" } else { "off" };
        vec![
            ("script", script.display().to_string()),
            ("script_data", data),
            ("script_tick", self.script_tick.as_millis().to_string()),
            ("script_unsafe", is_unsafe.to_owned()),
        ]
    }

    /// The table that the hook `startup` gets, with the members that tinysse documents. Times are
    /// in milliseconds.
    pub(crate) fn startup_table(&self) -> Value {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let level = self.log_level.as_deref().unwrap_or("info");
        let mut table = json!({
            "listen": self.listen.to_string(),
            "log_level": level.to_ascii_uppercase(),
            "keep_alive": ms(self.keep_alive),
            "keep_alive_text": self.keep_alive_text.as_str(),
            "timeout": ms(self.timeout),
            "timeout_retry": ms(self.timeout_retry),
            "capacity": self.capacity,
            "script": path(&self.script),
            "script_data": self.script_data,
            "script_tick": ms(self.script_tick),
            "unsafe_script": self.unsafe_script,
            "max_body_size": self.max_body_size,
            "pub_path": self.pub_path.as_str(),
            "sub_path": self.sub_path.as_str(),
            "serve_static_dir": path(&self.serve_static_dir),
            "serve_static_path": self.serve_static_path.as_str(),
        });
        if let Some(members) = table.as_object_mut() {
            // In Lua, what is not set is not there.
            members.retain(|_, value| !value.is_null());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: TinysseArguments,
    }

    #[test]
    fn the_startup_table_has_the_members_of_tinysse() {
        let command = Command::try_parse_from(["", "-s", "a.lua", "-k", "1m"]).unwrap();
        let expected = json!({
            "listen": "127.0.0.1:1983", "log_level": "INFO", "keep_alive": 60_000,
            "keep_alive_text": "keep-alive", "timeout": 300_000, "timeout_retry": 0,
            "capacity": 256, "script": "a.lua", "script_tick": 500, "unsafe_script": false,
            "max_body_size": 64_000, "pub_path": "/sse", "sub_path": "/sse",
            "serve_static_path": "/",
        });
        assert_eq!(command.arguments.startup_table(), expected);
    }
}
