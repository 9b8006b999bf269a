//! `uuid`, `base64`, `log` and `sleep`.

use std::sync::{Arc, Mutex};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{errors, run};

#[test]
fn identifiers_have_their_version() {
    run(r#"
      local uuid = require "uuid"
      local hex = "%x%x%x%x"
      local function is(id, version)
        local form = "^" .. hex .. hex .. "%-" .. hex .. "%-" .. version .. "%x%x%x%-[89ab]%x%x%x%-"
          .. hex .. hex .. hex .. "$"
        assert(id:find(form), id)
      end
      is(uuid(), "4")
      is(uuid.v4(), "4")
      is(uuid.v7(), "7")
      assert(uuid() ~= uuid())
      local one, other = uuid.v7(), uuid.v7()
      assert(one < other)
    "#);
}

#[test]
fn bytes_survive_both_alphabets() {
    run(r#"
      local base64 = require "base64"
      local urlsafe = base64.urlsafe()
      local all = {}
      for byte = 0, 255 do all[byte] = string.char(byte) end
      local bytes = table.concat(all, "", 0, 255)
      assert(base64.decode(base64.encode(bytes)) == bytes)
      assert(urlsafe.decode(urlsafe.encode(bytes)) == bytes)
      assert(base64 "\xfb\xff" == "+/8=")
      assert(urlsafe "\xfb\xff" == "-_8=")
      assert(base64 "" == "" and base64.decode "" == "")
      -- RFC 4648, and without its padding.
      assert(base64 "foob" == "Zm9vYg==")
      assert(base64.decode "Zm9vYg==" == "foob")
      assert(base64.decode "Zm9vYg" == "foob")
    "#);
    errors(&[
        (
            "require 'base64'.decode '!'",
            "base64.decode: the text is not base64",
        ),
        (
            "require 'base64'.decode '-_8='",
            "base64.decode: the text is not base64",
        ),
        (
            "require 'base64'.encode {}",
            "base64.encode: `bytes` must be a string, not a table",
        ),
        (
            "require 'base64'.encode(string.rep('x', 2^24 + 1))",
            "base64.encode: the string has more than",
        ),
    ]);
}

#[test]
fn sleeping_lets_others_run() {
    let lua = super::lua(&super::ALL);
    let order = "
      local sleep = require 'sleep'
      order = {}
      function nap(name, milliseconds) sleep(milliseconds); order[#order + 1] = name end";
    super::attempt(&lua, order).unwrap();
    let nap: mlua::Function = lua.globals().get("nap").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        // The clock is the test's: it moves on when all tasks wait.
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let long = nap.call_async::<()>(("long", 60_000));
        let short = nap.call_async::<()>(("short", 0.5));
        let (long, short) = tokio::join!(long, short);
        long.and(short).unwrap();
    });
    super::attempt(&lua, "assert(order[1] == 'short' and order[2] == 'long')").unwrap();
}

#[test]
fn sleep_takes_milliseconds_only() {
    errors(&[
        (
            "require 'sleep'(-1)",
            "sleep: `milliseconds` must be a number of milliseconds from 0",
        ),
        ("require 'sleep'(0/0)", "sleep: `milliseconds` must be"),
        ("require 'sleep'(1/0)", "sleep: `milliseconds` must be"),
        ("require 'sleep' 'long'", "not the string \"long\""),
        ("require 'sleep'()", "not nil"),
    ]);
}

#[test]
fn messages_have_level_and_place() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        run("local log = require 'log'
             log.error('one', 2, nil, {} ~= nil)
             log.log(log.WARN, 'three')
             log.log('info', 'four')
             log.info('bad \\xff')
             log.debug(('x'):rep(10000))
             log.info('one\\nERROR forged\\27[1m')");
    });
    let lines = log.lines.lock().unwrap().join("\n");
    let expected = [
        "ERROR place=script.lua:2 one 2 nil true",
        "WARN place=script.lua:3 three",
        "INFO place=script.lua:4 four",
        "INFO place=script.lua:5 bad \u{fffd}",
        "x… (10000 bytes in all)",
        "INFO place=script.lua:7 one\\nERROR forged\\u{1b}[1m",
    ];
    for line in expected {
        assert!(lines.contains(line), "{line:?} is not in {lines}");
    }
    assert!(lines.len() < 9000);
    errors(&[(
        "require 'log'.log('loud', 'x')",
        "log.log: `level` must be log.ERROR",
    )]);
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

#[derive(Default)]
struct Line {
    place: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.place = format!("{name}={value:?}"),
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().contains("script") && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level();
        let line = format!("{level} {} {}", line.place, line.message);
        self.lines.lock().unwrap().push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
