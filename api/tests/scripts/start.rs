//! The start: `startup`, `tick`, what a script may load, and errors of the script.

use serde_json::json;

use crate::{
    common::{Kind, broker::Setup, until, within},
    harness::{scripted, scripted_with, setup},
};

/// Starts a broker that must not start. Returns the exit code, and what it says.
async fn refused(setup: Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = crate::common::broker::program();
    command.args(arguments).envs(&setup.environment);
    let output = within(command.output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let all = text(output.stdout) + &text(output.stderr);
    (output.status.code(), all)
}

#[tokio::test]
async fn startup_comes_first_and_knows_the_settings() {
    let script = r#"
        function startup(cli)
          seen = table.concat({ cli.script_data, cli.script_tick, cli.timeout, cli.log_level }, " ")
          same = tostring(cli.unsafe_script) .. tostring(cli.script:match("hooks.lua$"))
        end
        function publish(pub) asked(pub) return pub end"#;
    let set = [
        ("SCRIPT_DATA", "my data"),
        ("SCRIPT_TICK", "250"),
        ("CLIENT_TIMEOUT", "77"),
    ];
    let node = scripted_with(Kind::Memory, script, &set).await;
    assert_eq!(node.ask("seen").await, "my data 250 77000 info");
    assert_eq!(node.ask("same").await, "falsehooks.lua");
}

#[tokio::test]
async fn an_error_in_startup_aborts_the_start() {
    for (body, wanted) in [
        ("error('no database')", "no database"),
        ("while true do end", "hooks.lua:"),
        (
            // It reaches the limit of memory, or on a busy machine that of time.
            "local all = {} while true do all[#all + 1] = ('x'):rep(65536) end",
            "startup",
        ),
        (
            "string.find(string.rep('a', 60), string.rep('a?', 60) .. string.rep('a', 60))",
            "longer",
        ),
    ] {
        let script = format!("function startup(cli)\n{body}\nend");
        let (setup, _folder, _) = setup(Kind::Memory, &script);
        let (code, text) = refused(setup.set("SCRIPT_TIMEOUT", 1), &[]).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("startup") && text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_script_that_can_t_be_loaded_stops_the_start_and_the_check() {
    for (script, wanted) in [
        ("function publish(", "hooks.lua:"),
        ("error('at the top')", "at the top"),
        ("require 'missing'", "missing"),
        ("while true do end", "hooks.lua:"),
        (
            "string.find(string.rep('a', 60), string.rep('a?', 60) .. string.rep('a', 60))",
            "longer",
        ),
        ("\u{1b}Lua", "hooks.lua"),
    ] {
        for arguments in [&[][..], &["check"]] {
            let (setup, _folder, _) = setup(Kind::Memory, script);
            let (code, text) = refused(setup.set("SCRIPT_TIMEOUT", 1), arguments).await;
            assert_eq!(code, Some(1), "{script}: {text}");
            assert!(
                text.contains("can't be loaded") && text.contains(wanted),
                "{text}"
            );
        }
    }
    let setup = crate::common::broker(Kind::Memory).set("SCRIPT", "/missing/file.lua");
    let (code, text) = refused(setup, &["check"]).await;
    assert_eq!(code, Some(1));
    assert!(text.contains("/missing/file.lua can't be read"), "{text}");
}

#[tokio::test]
async fn check_accepts_a_good_script_and_does_not_run_it() {
    let script = "function startup() error('not now') end";
    let (setup, _folder, _) = setup(Kind::Memory, script);
    let (code, text) = refused(setup, &["check"]).await;
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test]
async fn tick_counts_and_never_runs_twice_at_a_time() {
    let script = "ticks, running, overlaps, wrong = 0, 0, 0, 0
        function tick(count)
          running = running + 1
          if running > 1 then overlaps = overlaps + 1 end
          ticks = ticks + 1
          if count ~= ticks then wrong = wrong + 1 end
          local start = os.clock()
          while os.clock() < start + 0.03 do end
          running = running - 1
          enough = ticks >= 10
        end
        function publish(pub) asked(pub) return pub end";
    let node = scripted_with(Kind::Memory, script, &[("SCRIPT_TICK", "10")]).await;
    node.until_it_says("enough", "true").await;
    assert_eq!(node.ask("overlaps").await, "0");
    assert_eq!(node.ask("wrong").await, "0");
}

#[tokio::test]
async fn a_script_reaches_nothing_outside() {
    let script = r#"
        function publish(pub)
          local code, problem = load("return " .. pub.msg.data)
          local ok, value = pcall(code or function() return problem end)
          pub.msg.data = tostring(value)
          return pub
        end"#;
    let node = scripted(Kind::Memory, script).await;
    node.create("chat").await;
    for (code, wanted) in [
        ("io", "nil"),
        ("debug", "nil"),
        ("dofile", "nil"),
        ("loadfile", "nil"),
        ("os.execute", "nil"),
        ("os.getenv", "nil"),
        ("os.exit", "nil"),
        ("os.remove", "nil"),
        ("require('os').execute", "nil"),
        ("package.loaded.os.execute", "nil"),
        ("type(os.time())", "number"),
        ("type(os.date())", "string"),
        ("type(os.clock())", "number"),
        ("package.loadlib('x', 'y')", "safe mode"),
        ("select(2, pcall(require, 'native'))", "not found"),
        (
            "select(2, pcall(load, string.dump(function() end), 'x', 'b'))",
            "text only",
        ),
        (
            "select(2, load(string.dump(function() end)))",
            "attempt to load a binary chunk",
        ),
        ("load('return x', 'name', 't', {x = 5})()", "5"),
    ] {
        node.publish("chat", "x", json!(code)).await;
        let events = node.events("chat").await;
        let found = events.last().unwrap().1.as_str().unwrap();
        assert!(found.contains(wanted), "{code}: {found}");
    }
    assert!(node.broker.process.id().is_some());
}

#[tokio::test]
async fn a_script_requires_files_beside_it_and_prints_to_the_log() {
    let (setup, folder, _) = setup(
        Kind::Memory,
        "local words = require 'words'
         print('hello', words.greeting, 3, nil)
         function publish(pub) pub.msg.data = words.greeting return pub end",
    );
    std::fs::write(
        folder.path().join("words.lua"),
        "return { greeting = 'Grüezi' }",
    )
    .unwrap();
    let node = setup.start().await;
    node.create("chat").await;
    node.add_events("chat", 0, 1).await;
    let (_, events) = node.get("/api/stream/events?key=chat").await;
    assert_eq!(events[1]["data"], "Grüezi");
    let (_, log) = node.stop("-TERM").await;
    assert!(log.contains("Grüezi"), "{log}");
}

#[tokio::test]
async fn an_unsafe_script_has_files() {
    let script = "function publish(pub)
          local file = io.open(pub.msg.data, 'w')
          file:write(os.getenv('STREAMER_PORT'))
          file:close()
          return pub
        end";
    let node = scripted_with(Kind::Memory, script, &[("SCRIPT_UNSAFE", "on")]).await;
    node.create("chat").await;
    let file = node.file("written");
    let (status, error) = node
        .publish("chat", "x", json!(file.display().to_string()))
        .await;
    assert_eq!(status, 200, "{error}");
    until("the file is there", || async { file.exists() }).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "0");
}
