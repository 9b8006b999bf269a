//! The command line and the settings, as an operator uses them.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use tinistreamer::config;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::common::{
    Kind, broker,
    broker::{API_KEY, SECRET_KEY, program},
    redis::Redis,
    within,
};

async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = program();
    command.args(arguments).envs(environment.iter().copied());
    let Output {
        status,
        stdout,
        stderr,
    } = within(command.output()).await.unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

const GOOD: [(&str, &str); 2] = [
    ("STREAMER_API_KEY", API_KEY),
    ("STREAMER_SECRET_KEY", SECRET_KEY),
];

#[tokio::test]
async fn a_bad_setting_stops_the_start_with_one_line_that_names_it() {
    let cases = [
        ("STREAMER_TTL", "0", "1 to 604800"),
        ("STREAMER_TTL", "5m", "1 to 604800"),
        ("STREAMER_MAX_CLIENTS", "-1", "from 1"),
        ("STREAMER_MAX_EVENTS", "1000001", "1000000"),
        ("STREAMER_PORT", "http", "65535"),
        ("STREAMER_ADDRESS", "localhost", "IP address"),
        ("STREAMER_DELIVERY", "carrier-pigeon", "exclusive"),
        ("STREAMER_REDIS_URL", "mysql://x", "redis://"),
        ("STREAMER_SERVER_ADDRESS", "example.com", "http://"),
        ("STREAMER_ALLOWED_ORIGINS", "example.com", "https://"),
        ("STREAMER_KEY_PREFIX", "a{b}", "braces"),
        ("STREAMER_HEARTBEAT", "0", "from 1"),
        ("STREAMER_LEASE", "1", "from 2 to 86400"),
        ("STREAMER_STALL", "86401", "from 2 to 86400"),
        ("STREAMER_SECRET_KEY", "abcdef", "64 hex digits"),
        ("STREAMER_API_KEY", "short", "at least 8"),
        ("STREAMER_METRICS", "localhost:9464", "127.0.0.1:9464"),
        ("STREAMER_CLIENT_IP_HEADER", "X Real IP", "X-Real-IP"),
        ("STREAMER_LOG_FORMAT", "xml", "text or json"),
        ("STREAMER_HARTBEAT", "5", "STREAMER_HEARTBEAT"),
    ];
    for (name, value, wanted) in cases {
        let environment: Vec<_> = GOOD
            .into_iter()
            .filter(|(good, _)| *good != name)
            .chain([(name, value)])
            .collect();
        let (code, stdout, stderr) = run(&[], &environment).await;
        assert_eq!(
            (code, stdout.as_str(), stderr.lines().count()),
            (Some(2), "", 1),
            "{name}: {stderr}"
        );
        assert!(
            stderr.starts_with(name) && stderr.contains(wanted),
            "{stderr}"
        );
        assert!(!stderr.contains("abcdef"));
    }
}

#[tokio::test]
async fn the_release_profile_demands_keys() {
    let (code, _, stderr) = run(&[], &[]).await;
    assert_eq!((code, stderr.lines().count()), (Some(2), 3), "{stderr}");
    let expected = [
        "STREAMER_API_KEY is not set",
        "STREAMER_SECRET_KEY is not set",
        "`tinistreamer dev`",
    ];
    for (line, expected) in stderr.lines().zip(expected) {
        assert!(line.contains(expected), "{line}");
    }
}

#[tokio::test]
async fn keygen_prints_lines_of_a_file_that_the_broker_reads() {
    let (code, keys, _) = run(&["keygen"], &[]).await;
    assert_eq!((code, keys.lines().count()), (Some(0), 2));
    assert_ne!(keys, run(&["keygen"], &[]).await.1);
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("api");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(
        folder.path().join(".env"),
        format!("{keys}STREAMER_REDIS_URL=memory:\nSTREAMER_TTL=77\n"),
    )
    .unwrap();
    for place in [folder.path(), &inner] {
        let Output { status, stdout, .. } = program()
            .arg("check")
            .current_dir(place)
            .output()
            .await
            .unwrap();
        assert!(status.success() && String::from_utf8_lossy(&stdout).contains("memory"));
    }
    // The environment wins over the file.
    let output = program()
        .arg("check")
        .current_dir(folder.path())
        .env("STREAMER_TTL", "x")
        .output()
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("STREAMER_TTL holds \"x\""));
}

#[cfg(unix)]
#[tokio::test]
async fn an_env_file_that_others_may_read_or_in_another_folder_is_reported() {
    use std::os::unix::fs::PermissionsExt;

    let (_, keys, _) = run(&["keygen"], &[]).await;
    // Links in the path of the temporary folder would make another path of it.
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().canonicalize().unwrap();
    let (inner, file) = (folder.join("api"), folder.join(".env"));
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(
        &file,
        format!("{keys}STREAMER_REDIS_URL=memory:\nSTREAMER_PORT=0\n"),
    )
    .unwrap();
    let shown = file.to_str().unwrap();
    let warnings = async |mode: u32, place: &Path| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let Output { status, stdout, .. } = program()
            .arg("check")
            .current_dir(place)
            .output()
            .await
            .unwrap();
        assert!(status.success());
        String::from_utf8(stdout).unwrap()
    };
    assert_eq!(warnings(0o600, &folder).await.lines().count(), 1);
    assert_eq!(warnings(0o640, &folder).await.lines().count(), 1);
    let open = warnings(0o644, &folder).await;
    assert!(
        [shown, "may read", "mode 644"]
            .iter()
            .all(|part| open.contains(part)),
        "{open}"
    );
    let writable = warnings(0o602, &folder).await;
    assert!(
        [shown, "may change", "mode 602"]
            .iter()
            .all(|part| writable.contains(part)),
        "{writable}"
    );
    let elsewhere = warnings(0o600, &inner).await;
    assert!(
        elsewhere.contains(shown)
            && elsewhere.contains("not in the folder")
            && !elsewhere.contains("mode"),
        "{elsewhere}"
    );
    assert_eq!(warnings(0o644, &inner).await.lines().count(), 3);

    // A broker that serves says it in its log.
    let mut broker = program()
        .current_dir(&inner)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(broker.stderr.take().unwrap()).lines();
    for part in ["not in the folder", "mode 644"] {
        let line = within(log.next_line()).await.unwrap().unwrap();
        assert!(
            line.contains("WARN") && line.contains(part) && line.contains(shown),
            "{line}"
        );
    }
}

#[tokio::test]
async fn rocket_toml_is_read_by_profile_and_the_environment_wins() {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[default]\napi_key = \"{API_KEY}\"\nttl = \"soon\"\n\
         [release]\nsecret_key = \"{SECRET_KEY}\"\nredis_url = \"memory:\"\n"
    );
    std::fs::write(folder.path().join("Rocket.toml"), toml).unwrap();
    let output = program()
        .arg("check")
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("STREAMER_TTL holds \"soon\"") && stderr.contains("Rocket.toml"),
        "{stderr}"
    );
    let output = program()
        .arg("check")
        .current_dir(folder.path())
        .env("STREAMER_TTL", "5")
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
}

#[tokio::test]
async fn a_broken_env_file_is_reported_without_its_contents() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "STREAMER_API_KEY='hush-hush\n").unwrap();
    let output = program().current_dir(folder.path()).output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1));
    assert!(
        stderr.contains(".env") && !stderr.contains("hush"),
        "{stderr}"
    );
}

#[tokio::test]
async fn check_reports_whether_the_store_answers() {
    let redis = Redis::shared().url();
    let (code, stdout, _) = run(
        &["check"],
        &[GOOD[0], GOOD[1], ("STREAMER_REDIS_URL", &redis)],
    )
    .await;
    assert_eq!(code, Some(0));
    assert!(stdout.contains("redis store answers"), "{stdout}");
    let (code, _, stderr) = run(
        &["check"],
        &[
            GOOD[0],
            GOOD[1],
            ("STREAMER_REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
        ],
    )
    .await;
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(!stderr.contains("hunter2"));
}

#[tokio::test]
async fn health_reports_whether_a_broker_lives() {
    let broker = broker(Kind::Memory).start().await;
    let port = broker.url.rsplit(':').next().unwrap().to_owned();
    let environment = [
        GOOD[0],
        GOOD[1],
        ("STREAMER_PORT", &port),
        ("STREAMER_ADDRESS", "0.0.0.0"),
    ];
    assert_eq!(run(&["health"], &environment).await.0, Some(0));
    drop(broker);
    crate::common::until("nobody answers", || async {
        run(&["health"], &environment).await.0 == Some(1)
    })
    .await;
}

#[tokio::test]
async fn help_and_version_are_printed() {
    let (code, help, _) = run(&["--help"], &[]).await;
    assert_eq!(code, Some(0));
    assert!(
        ["keygen", "check", "health", "STREAMER_"]
            .iter()
            .all(|word| help.contains(word)),
        "{help}"
    );
    let (code, version, _) = run(&["--version"], &[]).await;
    assert_eq!(
        (code, version.trim()),
        (Some(0), concat!("tinistreamer ", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(run(&["no-such-command"], &[]).await.0, Some(2));
}

#[tokio::test]
async fn a_port_in_use_is_reported_in_one_line() {
    let broker = broker(Kind::Memory).start().await;
    let port = broker.url.rsplit(':').next().unwrap();
    let (code, _, stderr) = run(
        &[],
        &[
            GOOD[0],
            GOOD[1],
            ("STREAMER_PORT", port),
            ("STREAMER_REDIS_URL", "memory:"),
        ],
    )
    .await;
    assert_eq!(code, Some(1));
    let wanted = [
        format!("127.0.0.1:{port}"),
        "another program".to_owned(),
        "STREAMER_PORT".to_owned(),
    ];
    assert!(
        wanted.iter().all(|word| stderr.contains(word)) && !stderr.contains("panicked"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// The reference's table and `.env.example` come from the table of settings in the code.
#[test]
fn the_reference_and_the_example_have_every_setting_as_the_code_has_it() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |file| std::fs::read_to_string(format!("{root}/{file}")).unwrap();
    let (reference, example) = (read("docs/reference/settings.md"), read(".env.example"));
    let (table, env) = (config::markdown(), config::env_example());
    let documented = reference
        .split_once("<!-- settings: begin")
        .and_then(|(_, rest)| rest.split_once("-->\n"))
        .and_then(|(_, rest)| rest.split_once("<!-- settings: end"))
        .map(|(documented, _)| documented);
    for (file, is_fresh) in [
        (
            "docs/reference/settings.md",
            documented == Some(table.as_str()),
        ),
        (".env.example", example == env),
    ] {
        assert!(
            is_fresh,
            "{file} is stale: `make settings` writes it anew from api/src/config/table.rs"
        );
    }
    for name in config::NAMES {
        let variable = config::variable(name);
        assert!(
            table.contains(&format!("| `{variable}` |"))
                && env.contains(&format!("\n#{variable}=")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_settings_command_prints_the_reference_and_needs_no_settings() {
    let (code, text, _) = run(&["settings"], &[]).await;
    assert_eq!((code, text), (Some(0), config::text()));
    let (code, env, _) = run(&["settings", "--format", "env"], &[]).await;
    assert_eq!((code, env), (Some(0), config::env_example()));
    let (code, table, _) = run(&["settings", "--format", "markdown"], &[]).await;
    assert_eq!((code, table), (Some(0), config::markdown()));
}
