//! `fernet`, also against the vector that the specification publishes.

use super::{error, errors, run};

/// `verify.json` of <https://github.com/fernet/spec>.
const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz\
                     7JcbmrR64jVmpU4IwqDA==";

#[test]
fn the_published_token_opens() {
    run(&format!(
        "assert(require 'fernet'('{KEY}'):decrypt '{TOKEN}' == 'hello')"
    ));
}

#[test]
fn bytes_survive() {
    run(r#"
      local fernet = require "fernet"
      local key = fernet.genkey()
      assert(key ~= fernet.genkey())
      local f = fernet(key)
      for _, text in ipairs {"", "secret", "\0\xff\n", string.rep("x", 100000)} do
        local token = f:encrypt(text)
        assert(token ~= f:encrypt(text))
        assert(f:decrypt(token) == text)
      end
    "#);
}

#[test]
fn wrong_keys_and_tokens_are_refused() {
    let made = format!("local fernet = require 'fernet'; local f = fernet '{KEY}'; ");
    let wrong = "fernet:decrypt: the token was not made with this key, or was changed";
    for script in [
        format!("fernet(fernet.genkey()):decrypt '{TOKEN}'"),
        format!("f:decrypt('{TOKEN}x')"),
        format!("f:decrypt(('{TOKEN}'):gsub('Jcb', 'Jcc'))"),
        "f:decrypt ''".to_owned(),
        "f:decrypt '\\xff'".to_owned(),
    ] {
        let message = error(&format!("{made}{script}"));
        assert!(message.contains(wrong), "{message}");
    }
    errors(&[
        (
            "require 'fernet' 'short'",
            "fernet: `key` must be 32 bytes in URL-safe base64",
        ),
        (
            "require 'fernet'(1)",
            "fernet: `key` must be a string, not a integer",
        ),
        (
            "local f = require 'fernet'; f(f.genkey()):encrypt(nil)",
            "fernet:encrypt: `bytes` must be a string, not nil",
        ),
    ]);
    let message = error("require 'fernet' 'my secret'");
    assert!(
        !message
            .split("stack traceback")
            .next()
            .unwrap()
            .contains("my secret"),
        "{message}"
    );
}
