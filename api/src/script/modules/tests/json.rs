//! `json`: round trips, and what is refused.

use super::{attempt, errors, lua, run};
use crate::script::modules::Allowed;

#[test]
fn values_survive_a_round_trip() {
    run(r#"
      local json = require "json"
      for _, text in ipairs {
        'null', 'true', '[]', '{}', '[[],{}]', '1', '1.0', '-0.5', '1e300',
        '9223372036854775807', '-9223372036854775808', '"\\u0000 \\" é 😀"',
        '{"a":[1,2.5,null,{"b":false}]}', '[null]', '{"1":"one"}',
      } do
        local once = json.encode(json.decode(text))
        assert(json.encode(json.decode(once)) == once, text)
      end
      assert(json.encode(json.decode '[]') == '[]')
      assert(json.encode(json.decode '{}') == '{}')
      assert(json.encode(json.decode '{"a":null}') == '{"a":null}')
      assert(json.encode(json.decode '[1,null]') == '[1,null]')
      assert(math.type(json.decode '1') == 'integer')
      assert(math.type(json.decode '1.0') == 'float')
      assert(json.encode(1.0) == '1.0')
      assert(json.decode '9223372036854775807' == math.maxinteger)
      assert(math.type(json.decode '9223372036854775808') == 'float')
      assert(json.decode 'null' == json.null)
    "#);
}

#[test]
fn tables_are_arrays_or_objects() {
    run(r#"
      local json = require "json"
      local function is(value, text) assert(json(value) == text, json(value)) end
      is({}, '{}')
      is(json.array(), '[]')
      is(json.array {1}, '[1]')
      is({"a", "b"}, '["a","b"]')
      is({a = {1, {}}}, '{"a":[1,{}]}')
      -- Nothing is lost where a table is neither.
      is({"a", x = 1}, '{"1":"a","x":1}')
      is({[2] = "b"}, '{"2":"b"}')
      is({[-1] = 0}, '{"-1":0}')
      is(nil, 'null')
      local holes = json.array {1, nil, 3}
      is(holes, '[1,null,3]')
    "#);
}

#[test]
fn what_json_cannot_say_is_refused() {
    errors(&[
        (
            "require 'json'.encode(print)",
            "json.encode: JSON has no function",
        ),
        (
            "require 'json'.encode {a = {0, print}}",
            "at .a[2]: JSON has no function",
        ),
        (
            "require 'json'.encode {x = 0/0}",
            "at .x: JSON has no number",
        ),
        (
            "require 'json'.encode {1/0}",
            "at [1]: JSON has no number inf",
        ),
        (
            "require 'json'.encode {k = '\\xff'}",
            "at .k: a string is not UTF-8",
        ),
        (
            "require 'json'.encode {['\\xff'] = 1}",
            "a string is not UTF-8",
        ),
        ("require 'json'.encode {[true] = 1}", "has a boolean as key"),
        ("require 'json'.encode {[1.5] = 1}", "has a number as key"),
        (
            "require 'json'.encode {[2] = 0, ['2'] = 0}",
            "has the key 2 twice",
        ),
        (
            "require 'json'.encode(require 'json'.array {x = 1})",
            "has the key x, which is not",
        ),
        (
            "require 'json'.decode(7)",
            "json.decode: `text` must be a string, not the number 7",
        ),
        (
            "require 'json'.decode '[1,'",
            "json.decode: the text is not JSON: EOF",
        ),
        ("require 'json'.decode '\"\\xff\"'", "the text is not JSON"),
        (
            "require 'json'.array(1)",
            "json.array: `table` must be a table or nil",
        ),
        (
            "require 'json'.array(setmetatable({}, {}))",
            "json.array: the table has a metatable",
        ),
    ]);
}

#[test]
fn depth_is_limited_and_the_same_in_both_directions() {
    run(r#"
      local json = require "json"
      local text = string.rep("[", 127) .. string.rep("]", 127)
      assert(json(json.decode(text)) == text)
      assert(not pcall(json.decode, "[" .. text .. "]"))
      assert(not pcall(json, {json.decode(text)}))
    "#);
    errors(&[
        (
            "local t = {}; t.t = t; require 'json'.encode(t)",
            "at .t.t.t.t.t.t.t.t…: it has more than 127 levels",
        ),
        (
            "local t = {}; t[1] = {t}; require 'json'.encode(t)",
            "it has more than 127 levels",
        ),
    ]);
}

#[test]
fn size_is_limited_also_where_a_table_is_there_often() {
    errors(&[
        // 2¹⁰⁰ values in a hundred tables.
        (
            "local t = {('x'):rep(9999)}; for _ = 1, 100 do t = {t, t} end
             require 'json'.encode(t)",
            "it has more than 16777216 bytes",
        ),
        (
            "local s = string.rep('x', 2^20); local t = {}
             for i = 1, 17 do t[i] = s end; require 'json'.encode(t)",
            "it has more than 16777216 bytes",
        ),
        (
            "require 'json'.decode('\"' .. string.rep('x', 2^24) .. '\"')",
            "the text has more than 16777216 bytes",
        ),
    ]);
}

#[test]
fn what_becomes_lua_values_is_within_the_memory_of_the_state() {
    let lua = lua(&Allowed::default());
    lua.set_memory_limit(8 * 1024 * 1024).unwrap();
    let script = "require 'json'.decode('[' .. string.rep('[],', 2^20) .. '0]')";
    let message = attempt(&lua, script).unwrap_err().to_string();
    assert!(message.contains("not enough memory"), "{message}");
}

#[test]
fn printing_is_left_to_print() {
    run(r#"
      local json = require "json"
      local printed = {}
      function print(...) printed[#printed + 1] = table.concat({...}, "|") end
      json.print {foo = {1}}
      json.pprint {foo = {1}}
      assert(printed[1] == '{"foo":[1]}')
      assert(printed[2] == '{\n  "foo": [\n    1\n  ]\n}', printed[2])
      print = nil
      assert(tostring(select(2, pcall(json.print, 1))):find "json.print: `print` must be")
    "#);
}
