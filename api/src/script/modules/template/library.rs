//! A set of templates, and how they are rendered.

use std::{
    collections::BTreeMap,
    error::Error as _,
    fs, io,
    path::{Component, Path, PathBuf},
};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, syntax::SyntaxConfig};
use mlua::{Lua, LuaString, Table, UserData, UserDataMethods, Value};

use super::super::arguments::Function;
use crate::script::values::to_json;

const LIBRARY: Function = Function("template.library");
const RENDER: Function = Function("template:render");
const RENDERSTRING: Function = Function("template:renderstring");
const ADD: Function = Function("template:add");
const REMOVE: Function = Function("template:remove");

/// Steps of a render, and 64 bytes of what it makes, cost one each: 32 MiB at most.
const FUEL: u64 = 500_000;
/// Macros and includes within each other. A thread of scripts has less stack than a main thread.
const MAX_RECURSION: usize = 200;
const MAX_SOURCE: usize = 1024 * 1024;
const MAX_TEMPLATES: usize = 1000;
const OPTIONS: [&str; 6] = [
    "directory",
    "templates",
    "autoescape",
    "keep_trailing_newline",
    "trim_blocks",
    "lstrip_blocks",
];

/// What `template.library` returns.
pub(super) struct Library {
    environment: Environment<'static>,
}

impl Default for Library {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        Self { environment }
    }
}

impl Library {
    pub(super) fn new(options: Value) -> mlua::Result<Self> {
        let mut library = Self::default();
        if let Some(options) = LIBRARY.options("options", options)? {
            LIBRARY.only(&options, &OPTIONS)?;
            library.configure(&options)?;
        }
        Ok(library)
    }

    fn configure(&mut self, options: &Table) -> mlua::Result<()> {
        let syntax = SyntaxConfig::builder()
            .keep_trailing_newline(LIBRARY.flag(options, "keep_trailing_newline")?)
            .trim_blocks(LIBRARY.flag(options, "trim_blocks")?)
            .lstrip_blocks(LIBRARY.flag(options, "lstrip_blocks")?)
            .build()
            .map_err(|error| failed(LIBRARY, &error))?;
        self.environment.set_syntax(syntax);
        let escape = escape(&options.raw_get("autoescape")?)?;
        self.environment
            .set_auto_escape_callback(move |_| escape.clone());
        let directory: Value = options.raw_get("directory")?;
        if !directory.is_nil() {
            let directory = PathBuf::from(LIBRARY.text("directory", directory)?);
            self.environment
                .set_loader(move |name| source_in(&directory, name));
        }
        let templates = LIBRARY.options("templates", options.raw_get("templates")?)?;
        for pair in templates.iter().flat_map(Table::pairs::<Value, Value>) {
            let (name, source) = pair?;
            self.add(LIBRARY, name, source)?;
        }
        Ok(())
    }

    fn add(&mut self, function: Function, name: Value, source: Value) -> mlua::Result<()> {
        let name = function.text("name", name)?;
        let source = source_of(function, source)?;
        let is_known = self.environment.templates().any(|(known, _)| known == name);
        if !is_known && self.environment.templates().count() >= MAX_TEMPLATES {
            return Err(function.too_large("the library", format!("{MAX_TEMPLATES} templates")));
        }
        self.environment
            .add_template_owned(name, source)
            .map_err(|error| failed(function, &error))
    }

    fn render(&self, lua: &Lua, name: Value, context: &Value) -> mlua::Result<LuaString> {
        let name = RENDER.text("name", name)?;
        let context = context_of(lua, RENDER, context)?;
        let rendered = self
            .environment
            .get_template(&name)
            .and_then(|template| template.render(context));
        lua.create_string(rendered.map_err(|error| failed(RENDER, &error))?)
    }

    pub(super) fn renderstring(
        &self,
        lua: &Lua,
        function: Function,
        source: Value,
        context: &Value,
    ) -> mlua::Result<LuaString> {
        let source = source_of(function, source)?;
        let context = context_of(lua, function, context)?;
        let rendered = self.environment.render_str(&source, context);
        lua.create_string(rendered.map_err(|error| failed(function, &error))?)
    }
}

impl UserData for Library {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("render", |lua, this, (name, context): (Value, Value)| {
            this.render(lua, name, &context)
        });
        methods.add_method(
            "renderstring",
            |lua, this, (source, context): (Value, Value)| {
                this.renderstring(lua, RENDERSTRING, source, &context)
            },
        );
        methods.add_method_mut("add", |_, this, (name, source): (Value, Value)| {
            this.add(ADD, name, source)
        });
        methods.add_method_mut("remove", |_, this, name: Value| {
            let name = REMOVE.text("name", name)?;
            this.environment.remove_template(&name);
            Ok(())
        });
        methods.add_method_mut("clear", |_, this, ()| {
            this.environment.clear_templates();
            Ok(())
        });
    }
}

fn escape(value: &Value) -> mlua::Result<AutoEscape> {
    let name = value.as_string().map(LuaString::to_string_lossy);
    match name.as_deref() {
        Some("html") => Ok(AutoEscape::Html),
        Some("json") => Ok(AutoEscape::Json),
        Some("none") => Ok(AutoEscape::None),
        None if value.is_nil() => Ok(AutoEscape::Html),
        _ => Err(LIBRARY.wrong("autoescape", "\"html\", \"json\" or \"none\"", value)),
    }
}

fn source_of(function: Function, source: Value) -> mlua::Result<String> {
    let source = function.text("source", source)?;
    if source.len() > MAX_SOURCE {
        return Err(function.too_large("the template", format!("{MAX_SOURCE} bytes")));
    }
    Ok(source)
}

fn context_of(lua: &Lua, function: Function, context: &Value) -> mlua::Result<minijinja::Value> {
    if !context.is_nil() && !context.is_table() {
        return Err(function.wrong("context", "a table or nil", context));
    }
    match to_json(lua, context) {
        Ok(json) => Ok(value_of(json)),
        Err(error) => Err(function.failed(format!("`context`: {error}"))),
    }
}

fn value_of(json: serde_json::Value) -> minijinja::Value {
    match json {
        serde_json::Value::Null => minijinja::Value::from(()),
        serde_json::Value::Bool(truth) => truth.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(elements) => elements.into_iter().map(value_of).collect(),
        serde_json::Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, value_of(member)))
            .collect::<BTreeMap<_, _>>()
            .into(),
    }
}

/// The template of this name in the directory. Names lead neither out of it, nor to hidden files.
fn source_in(directory: &Path, name: &str) -> Result<Option<String>, Error> {
    let path = Path::new(name);
    let is_inside = path.components().all(|component| {
        matches!(component, Component::Normal(part) if !part.as_encoded_bytes().starts_with(b"."))
    });
    if !is_inside || name.contains('\\') {
        return Ok(None);
    }
    let unreadable = |error: io::Error| {
        Error::new(ErrorKind::InvalidOperation, "the template can't be read").with_source(error)
    };
    let path = directory.join(path);
    // A pipe would block, a large file would fill the memory.
    match fs::metadata(&path) {
        Ok(file) if !file.is_file() => Ok(None),
        Ok(file) if file.len() > MAX_SOURCE as u64 => {
            let reason = format!("the template has more than {MAX_SOURCE} bytes");
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        }
        Ok(_) => fs::read_to_string(&path).map(Some).map_err(unreadable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// The error with its causes: an error in an included template is a cause of the other's.
fn failed(function: Function, error: &Error) -> mlua::Error {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    function.failed(reason)
}
