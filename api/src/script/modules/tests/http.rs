//! `http`: against a server of this test, which answers by the path of the request.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{ALL, attempt, lua};
use crate::script::modules::Allowed;

/// A server in a thread of its own.
pub(in super::super) struct Server {
    pub(in super::super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(in super::super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket));
            }
        });
        Self {
            address,
            connections,
            _runtime: runtime,
        }
    }

    fn script(&self, script: &str) -> String {
        format!(
            "local http, base = require 'http', 'http://{}'\n{script}",
            self.address
        )
    }

    fn run(&self, script: &str) {
        if let Err(error) = attempt(&lua(&ALL), &self.script(script)) {
            panic!("{error}\nin\n{script}");
        }
    }

    fn error(&self, allowed: &Allowed, script: &str) -> String {
        let result = attempt(&lua(allowed), &self.script(script));
        result.expect_err(script).to_string()
    }
}

const TLS_HANDSHAKE: u8 = 22;

/// One request after the other, until the client leaves.
async fn serve(mut socket: TcpStream) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8_lossy(&bytes[..end]).into_owned();
            }
            read(&mut socket, &mut bytes).await?;
            if bytes[0] == TLS_HANDSHAKE {
                return None;
            }
        };
        let length = head
            .to_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        let end = head.len() + 4 + length;
        while bytes.len() < end {
            read(&mut socket, &mut bytes).await?;
        }
        let body = bytes[head.len() + 4..end].to_vec();
        bytes.drain(..end);
        let path = head.split(' ').nth(1)?.to_owned();
        let response = response(&path, &head, &body)?;
        socket.write_all(&response).await.ok()?;
    }
}

async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 8192];
    let read = socket
        .read(&mut buffer)
        .await
        .ok()
        .filter(|read| *read > 0)?;
    bytes.extend_from_slice(&buffer[..read]);
    Some(())
}

/// None closes the connection.
fn response(path: &str, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let (status, headers, body) = match path.split('?').next()? {
        "/bytes" => ("200 OK", String::new(), (0..=255).collect()),
        "/headers" => {
            let headers = "x-one: 1\r\nX-One: 2\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n";
            ("200 OK", headers.to_owned(), Vec::new())
        }
        "/missing" => ("404 Not Found", String::new(), b"no".to_vec()),
        "/large" => ("200 OK", String::new(), vec![b'x'; 8 * 1024 * 1024 + 1]),
        "/largest" => ("200 OK", String::new(), vec![b'x'; 8 * 1024 * 1024]),
        "/loop" => ("302 Found", "location: /loop\r\n".to_owned(), Vec::new()),
        "/moved" => ("302 Found", "location: /echo\r\n".to_owned(), Vec::new()),
        "/closes" => return None,
        // The body never comes.
        "/hangs" => return Some(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec()),
        _ => {
            let mut echo = head.as_bytes().to_vec();
            echo.extend_from_slice(b"\n\n");
            echo.extend_from_slice(body);
            ("200 OK", String::new(), echo)
        }
    };
    let mut response = format!("HTTP/1.1 {status}\r\n{headers}");
    write!(response, "content-length: {}\r\n\r\n", body.len()).unwrap();
    let mut response = response.into_bytes();
    if !head.starts_with("HEAD") {
        response.extend_from_slice(&body);
    }
    Some(response)
}

#[test]
fn every_method_sends_what_the_options_say() {
    Server::start().run(
        r#"
        for _, method in ipairs {"get", "options", "post", "put", "patch", "delete"} do
          local r = http[method](base .. "/echo?a=1", {
            args = {b = {"2", "3"}, c = "ä&"},
            headers = {["X-Name"] = "value", ["x-list"] = {"1", "2"}, ["x-number"] = 5},
            body = "bytes \0\xff",
          })
          assert(r.status == 200)
          local line = method:upper() .. " /echo?a=1&b=2&b=3&c=%C3%A4%26 HTTP/1.1\r\n"
          assert(r.body:sub(1, #line) == line, r.body)
          assert(r.body:find("x-name: value\r\n", 1, true))
          assert(r.body:find("x-list: 1\r\n", 1, true) and r.body:find("x-list: 2", 1, true))
          assert(r.body:find("x-number: 5", 1, true))
          assert(r.body:sub(-10) == "\n\nbytes \0\xff", r.body)
        end
        local r = http.head(base .. "/bytes")
        assert(r.status == 200 and r.body == "" and r.headers["content-length"] == "256")
        local r = http.request("post", base .. "/echo", {body = "x"})
        assert(r.body:find "^POST /echo")
        assert(http.request("GET", base .. "/echo").body:find "user%-agent: tinistreamer/")
        "#,
    );
}

#[test]
fn responses_have_status_headers_and_any_bytes() {
    Server::start().run(
        r#"
        local r = http.get(base .. "/bytes")
        for byte = 0, 255 do assert(r.body:byte(byte + 1) == byte) end
        local r = http.get(base .. "/headers")
        assert(r.headers["x-one"] == "1, 2" and r.headers["set-cookie"] == "a=1, b=2")
        local cookies = r.header_values["set-cookie"]
        assert(#cookies == 2 and cookies[1] == "a=1" and cookies[2] == "b=2")
        local r = http.get(base .. "/missing")
        assert(r.status == 404 and r.body == "no")
        assert(#http.get(base .. "/largest").body == 8 * 2^20)
        local r = http.get(base .. "/moved")
        assert(r.status == 200 and r.body:find "^GET /echo")
        assert(not r.body:lower():find "referer")
        "#,
    );
}

#[test]
fn headers_of_a_request_can_be_passed_on() {
    Server::start().run(
        r#"
        local r = http.get(base .. "/echo", {headers = {
          cookie = "session=1", ["content-length"] = "24", ["transfer-encoding"] = "chunked",
          connection = "close", expect = "100-continue",
        }})
        assert(r.body:find("cookie: session=1", 1, true))
        for _, name in ipairs {"content-length", "transfer-encoding", "connection", "expect"} do
          assert(not r.body:find(name, 1, true), r.body)
        end
        "#,
    );
}

#[test]
fn agents_have_defaults_and_share_connections() {
    let server = Server::start();
    server.run(
        r#"
        local agent = http.agent {headers = {["x-agent"] = "default", ["x-other"] = "kept"}}
        local r = agent:get(base .. "/echo")
        assert(r.body:find("x-agent: default", 1, true) and r.body:find("x-other: kept", 1, true))
        local r = agent:post(base .. "/echo", {headers = {["X-Agent"] = "own"}, body = "x"})
        assert(r.body:find("x-agent: own", 1, true) and not r.body:find("default", 1, true))
        assert(r.body:find("x-other: kept", 1, true))
        assert(not http.get(base .. "/echo").body:find("x-agent", 1, true))
        assert(agent:request("DELETE", base .. "/echo").body:find "^DELETE")
        for _ = 1, 20 do http.agent():get(base .. "/echo") end
        "#,
    );
    // A connection may be on its way back to the pool when the next request begins.
    let connections = server.connections.load(Ordering::SeqCst);
    assert!(connections < 20, "{connections}");
}

#[test]
fn limits_hold() {
    let server = Server::start();
    let short = Allowed {
        timeout: Duration::from_millis(50),
        ..ALL
    };
    for (allowed, script, expected) in [
        (
            ALL,
            "http.get(base .. '/large')",
            "http.get: 127.0.0.1 sent a body of more than 8388608",
        ),
        (
            ALL,
            "http.get(base .. '/loop')",
            "http.get: 127.0.0.1 redirected more than 5 times",
        ),
        (
            ALL,
            "http.get(base .. '/hangs', {timeout = 20})",
            "no response within 20 ms from",
        ),
        (
            ALL,
            "http.agent({timeout = 30}):get(base .. '/hangs')",
            "no response within 30 ms from",
        ),
        // The limit of the hook is the longest time that a script can ask for.
        (
            short,
            "http.get(base .. '/hangs', {timeout = 60000})",
            "no response within 50 ms from",
        ),
        (
            short,
            "http.get(base .. '/hangs')",
            "no response within 25 ms from",
        ),
        (
            ALL,
            "http.post(base, {body = ('x'):rep(2^23 + 1)})",
            "the body has more than 8388608",
        ),
        (
            ALL,
            "http.get(base .. '/' .. ('x'):rep(2^14))",
            "the URL has more than 16384 bytes",
        ),
        (
            ALL,
            "local h = {}; for i = 1, 101 do h['h' .. i] = i end; http.get(base, {headers = h})",
            "the request has more than 100 headers",
        ),
    ] {
        let message = server.error(&allowed, script);
        assert!(message.contains(expected), "{script}: {message}");
    }
}

#[test]
fn failures_name_the_host_and_no_secret() {
    let server = Server::start();
    for (script, expected) in [
        (
            "http.get(base .. '/closes?k=SECRET')",
            "http.get: the request to 127.0.0.1 failed: ",
        ),
        // Nothing listens at port 1.
        (
            "http.get 'http://u:SECRET@127.0.0.1:1/SECRET'",
            "the request to 127.0.0.1 failed: ",
        ),
        (
            "http.get(base:gsub('http', 'https', 1) .. '', {})",
            "the request to 127.0.0.1 failed",
        ),
        (
            "http.get 'SECRET'",
            "http.get: `url` is not an absolute URL",
        ),
        (
            "http.get 'file:///SECRET'",
            "`url` must have the scheme http or https, not file",
        ),
        (
            "http.get(base, {headers = {a = 'SECRET\\n'}})",
            "the header a has a control character",
        ),
        (
            "http.get(base, {headers = {['a b'] = ''}})",
            "\"a b\" is not the name of a header",
        ),
        (
            "http.get(base, {headers = {a = {{}}}})",
            "the header a must be a string, not a table",
        ),
        (
            "http.get(base, {heads = {}})",
            "there is no option the string \"heads\"",
        ),
        (
            "http.get(base, {timeout = 0})",
            "`timeout` must be a number of milliseconds",
        ),
        (
            "http.post(base, {body = {}})",
            "http.post: `body` must be a string, not a table",
        ),
        ("http.request('TRACE', base)", "`method` must be GET, HEAD"),
        ("http.agent {body = ''}", "http.agent: there is no option"),
        ("http.get()", "http.get: `url` must be a string, not nil"),
    ] {
        let message = server.error(&ALL, script);
        assert!(message.contains(expected), "{script}: {message}");
        // The traceback has the name of the chunk only.
        assert!(!message.contains("SECRET"), "{message}");
    }
}

#[test]
fn others_run_while_a_request_waits() {
    let server = Server::start();
    let lua = lua(&ALL);
    attempt(
        &lua,
        &server.script(
            "done = {}
             function slow()
               -- Waits within `pcall`, too.
               local _, err = pcall(http.get, base .. '/hangs')
               return tostring(err)
             end
             function quick() http.get(base .. '/echo'); done[#done + 1] = 'quick' end",
        ),
    )
    .unwrap();
    let slow: mlua::Function = lua.globals().get("slow").unwrap();
    let quick: mlua::Function = lua.globals().get("quick").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::select! {
            biased;
            done = slow.call_async::<String>(()) => panic!("the server does not answer: {done:?}"),
            done = quick.call_async::<()>(()) => done.unwrap(),
        }
    });
    attempt(&lua, "assert(#done == 1 and done[1] == 'quick')").unwrap();
}
