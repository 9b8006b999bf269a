//! `template`: inheritance, escaping, files, and limits.

use std::fs;

use super::{errors, run};

#[test]
fn templates_inherit() {
    run(r#"
      local library = require "template".library {
        templates = {
          base = "[{% block user %}nobody{% endblock %}]",
          user = "{% extends 'base' %}{% block user %}Hello, {{ user.name }}!{% endblock %}",
        },
      }
      assert(library:render("user", {user = {name = "<Friend>"}}) == "[Hello, &lt;Friend&gt;!]")
      assert(library:render("base") == "[nobody]")
      local inline = "{% extends 'base' %}{% block user %}{{ 1 + 1 }}{% endblock %}"
      assert(library:renderstring(inline, {}) == "[2]")
      library:add("base", "({% block user %}{% endblock %})")
      assert(library:render("user", {user = {name = "x"}}) == "(Hello, x!)")
      library:remove "user"
      assert(not pcall(library.render, library, "user"))
      library:clear()
      assert(not pcall(library.render, library, "base"))
    "#);
}

#[test]
fn options_change_escaping_and_blanks() {
    run(r#"
      local template = require "template"
      local function is(options, source, text)
        local context = {v = "<'\">", list = {1, 2}}
        local rendered = template.library(options):renderstring(source, context)
        assert(rendered == text, rendered)
      end
      is({}, "{{ v }}\n", "&lt;&#x27;&quot;&gt;")
      is({autoescape = "none"}, "{{ v }}", "<'\">")
      is({autoescape = "json"}, "{{ list }}", "[1,2]")
      is({keep_trailing_newline = true}, "x\n", "x\n")
      is({}, "{% if true %}\nx{% endif %}", "\nx")
      is({trim_blocks = true}, "{% if true %}\nx{% endif %}", "x")
      is({}, "  {% if true %}x{% endif %}", "  x")
      is({lstrip_blocks = true}, "  {% if true %}x{% endif %}", "x")
      local context = {name = "<World>", none = require "json".null, n = 1.5, list = {"a", "b"}}
      local source = "{{ name }} {{ none is none }} {{ n }} {{ list|join }} {{ missing }}"
      local rendered = template.renderstring(source, context)
      assert(rendered == "&lt;World&gt; True 1.5 ab ", rendered)
    "#);
}

#[test]
fn templates_come_from_a_directory_and_from_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let templates = folder.path().join("templates");
    fs::create_dir_all(templates.join("sub")).unwrap();
    fs::write(
        templates.join("page.html"),
        "{% include 'sub/part.html' %}!",
    )
    .unwrap();
    fs::write(templates.join("sub/part.html"), "{{ n }}").unwrap();
    fs::write(templates.join(".hidden"), "hidden").unwrap();
    fs::write(templates.join("large"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    run(&format!(
        r#"
        local directory = {templates:?}
        local library = require "template".library {{directory = directory}}
        assert(library:render("page.html", {{n = 3}}) == "3!")
        for _, name in ipairs {{
          "../secret", "sub/../../secret", directory .. "/page.html", ".hidden", "sub", "none",
          "sub\\..\\page.html", "",
        }} do
          local ok, err = pcall(library.render, library, name)
          assert(not ok and tostring(err):find "template not found", name .. ": " .. tostring(err))
        end
        local ok, err = pcall(library.render, library, "large")
        assert(not ok and tostring(err):find "more than 1048576 bytes", err)
        "#
    ));
}

#[test]
fn what_renders_for_ever_or_into_everything_ends() {
    errors(&[
        (
            "require 'template'.renderstring('{% for i in range(99999) %}{% for j in range(99999) \
             %}{% endfor %}{% endfor %}')",
            "template.renderstring: engine ran out of fuel",
        ),
        (
            "require 'template'.renderstring('{{ \"x\" * 1000000000 }}')",
            "template.renderstring: ",
        ),
        (
            "require 'template'.renderstring('{% set x = \"x\" * 1000000 %}{% for i in range(1000) \
             %}{{ x }}{% endfor %}')",
            "engine ran out of fuel",
        ),
        (
            "require 'template'.library({templates = {a = '{% include \"a\" %}'}}):render('a')",
            "recursion limit exceeded",
        ),
        (
            "require 'template'.renderstring('{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}')",
            "recursion limit exceeded",
        ),
        (
            "local library = require 'template'.library()
             for i = 1, 1001 do library:add('t' .. i, '') end",
            "template:add: the library has more than 1000 templates",
        ),
        (
            "require 'template'.renderstring(('x'):rep(2^20 + 1))",
            "template.renderstring: the template has more than 1048576 bytes",
        ),
    ]);
}

#[test]
fn templates_may_include_each_other_in_several_levels() {
    run(r#"
      local library = require "template".library()
      library:add("t0", "x")
      for level = 1, 12 do
        local include = "{% include 't" .. level - 1 .. "' %}"
        library:add("t" .. level, "{% for _ in [1] %}" .. include .. "{% endfor %}")
      end
      assert(library:render "t12" == "x")
    "#);
}

#[test]
fn mistakes_are_named() {
    errors(&[
        (
            "require 'template'.renderstring('{% if %}', {})",
            "template.renderstring: syntax error",
        ),
        (
            "require 'template'.renderstring('{{ x }}', 1)",
            "`context` must be a table or nil",
        ),
        (
            "require 'template'.renderstring('', {x = print})",
            "`context`: at .x: JSON has no function",
        ),
        (
            "require 'template'.renderstring({})",
            "`source` must be a string, not a table",
        ),
        (
            "require 'template'.library {autoescape = 'xml'}",
            "`autoescape` must be \"html\"",
        ),
        (
            "require 'template'.library {trim_blocks = 1}",
            "`trim_blocks` must be a boolean",
        ),
        (
            "require 'template'.library {dir = 'x'}",
            "there is no option the string \"dir\"",
        ),
        (
            "require 'template'.library {templates = {a = '{{'}}",
            "template.library: syntax error",
        ),
        (
            "require 'template'.library():render 'none'",
            "template:render: template not found",
        ),
    ]);
}
