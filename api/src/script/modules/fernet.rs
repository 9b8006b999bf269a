//! `fernet`: encrypts short texts with a shared key, by the Fernet specification.

use fernet::Fernet;
use mlua::{AnyUserData, Lua, LuaString, Table, UserData, UserDataMethods, Value};

use super::{arguments::Function, callable::callable};

const NEW: Function = Function("fernet");
const ENCRYPT: Function = Function("fernet:encrypt");
const DECRYPT: Function = Function("fernet:decrypt");
/// Far above what belongs into a token.
const MAX_BYTES: usize = 1024 * 1024;

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    callable(lua, &module, &lua.create_function(new)?)?;
    let genkey = lua.create_function(|_, ()| Ok(Fernet::generate_key()))?;
    module.raw_set("genkey", genkey)?;
    Ok(module)
}

fn new(lua: &Lua, key: Value) -> mlua::Result<AnyUserData> {
    // A wrong key is not quoted: it is a secret.
    let Value::String(key) = key else {
        return Err(NEW.failed(format!("`key` must be a string, not a {}", key.type_name())));
    };
    let fernet = key.to_str().ok().and_then(|key| Fernet::new(&key));
    match fernet {
        Some(fernet) => lua.create_userdata(Cipher(fernet)),
        None => {
            Err(NEW.failed("`key` must be 32 bytes in URL-safe base64; fernet.genkey() makes one"))
        }
    }
}

/// A key in use.
struct Cipher(Fernet);

impl UserData for Cipher {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("encrypt", |_, Self(fernet), bytes: Value| {
            let bytes = bounded(ENCRYPT, "bytes", bytes)?;
            Ok(fernet.encrypt(&bytes.as_bytes()))
        });
        methods.add_method("decrypt", |lua, Self(fernet), token: Value| {
            let token = bounded(DECRYPT, "token", token)?;
            let bytes = token
                .to_str()
                .ok()
                .and_then(|token| fernet.decrypt(&token).ok());
            match bytes {
                Some(bytes) => lua.create_string(bytes),
                None => Err(DECRYPT.failed("the token was not made with this key, or was changed")),
            }
        });
    }
}

fn bounded(function: Function, argument: &'static str, value: Value) -> mlua::Result<LuaString> {
    let bytes = function.bytes(argument, value)?;
    if bytes.as_bytes().len() > MAX_BYTES {
        return Err(function.too_large("the string", format!("{MAX_BYTES} bytes")));
    }
    Ok(bytes)
}
