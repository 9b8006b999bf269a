//! The examples of `docs/reference/script-modules.md`.

use std::fs;

use super::{attempt, broker::Broker, http::Server};

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/reference/script-modules.md"
);
/// What the page has for a server of the reader's own.
const SERVER: &str = "127.0.0.1:9000";
const MODULES: [&str; 12] = [
    "uuid", "json", "base64", "url", "log", "sleep", "mutex", "fernet", "template", "http",
    "sqlite", "broker",
];

#[test]
fn every_example_runs() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (server, broker) = (Server::start(), Broker::new(&["chat-1"]));
    let examples: Vec<_> = page
        .split("```lua\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    for example in &examples {
        let script = example.replace(SERVER, &server.address.to_string());
        if let Err(error) = attempt(&broker.lua(), &script) {
            panic!("{error}\nin\n{example}");
        }
    }
    for module in MODULES {
        let section = page.split(&format!("\n## {module}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("no section on {module}"));
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains("```lua\n"), "no example of {module}");
    }
}

#[test]
fn every_function_is_on_the_page() {
    let page = fs::read_to_string(PAGE).unwrap();
    let broker = Broker::new(&[]);
    let lua = broker.lua();
    for module in MODULES {
        let script = format!(
            "local names, module = {{}}, require '{module}'
             for name in pairs(type(module) == 'table' and module or {{}}) do
               names[#names + 1] = name
             end
             return table.concat(names, ' ')"
        );
        let names = attempt(&lua, &script).unwrap().to_string().unwrap();
        for name in names.split_whitespace() {
            // The table of `http` has its methods by name alone.
            let is_there = page.contains(&format!("{module}.{name}"))
                || module == "http" && page.contains(&format!("`{name}`"));
            assert!(is_there, "{module}.{name} is not on the page");
        }
    }
}
