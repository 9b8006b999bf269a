//! The settings of scripts.

use crate::common::{Kind, broker, broker::program, within};

#[tokio::test]
async fn a_bad_setting_stops_the_start_and_names_what_it_takes() {
    for (name, value, wanted) in [
        ("SCRIPT_TICK", "5", "from 10"),
        ("SCRIPT_TIMEOUT", "0", "from 1"),
        ("SCRIPT_MEMORY", "1", "from 1048576"),
        ("SCRIPT_INSTRUCTIONS", "all", "from 1000"),
        ("SCRIPT_HTTP", "maybe", "on or off"),
        ("SCRIPT_SQLITE", "1", "on or off"),
        ("SCRIPT_UNSAFE", "yes", "on or off"),
    ] {
        let setup = broker(Kind::Memory).set(name, value);
        let mut command = program();
        command.envs(&setup.environment);
        let output = within(command.output()).await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(name) && text.contains(wanted), "{text}");
    }
}
