//! `url`: parts, queries, and bytes that are not UTF-8.

use super::{errors, run};

#[test]
fn urls_are_made_of_parts() {
    run(r#"
      local url = require "url"
      local function is(parts, text) assert(url.encode(parts) == text, url.encode(parts)) end
      is({
        scheme = "https", username = "user", password = "pass", host = "example.com", port = 443,
        query = "key=value", fragment = "section",
        args = {key1 = {"value1", "value2"}, key2 = {"value3"}},
      }, "https://user:pass@example.com:443/?key=value&key1=value1&key1=value2&key2=value3#section")
      is({host = "h"}, "http://h/")
      is({host = "h", port = "8080", path = "a b/ü"}, "http://h:8080/a%20b/%C3%BC")
      is({host = "[::1]", port = 80}, "http://[::1]:80/")
      is({host = "h", username = "a:b@c", password = "p/q"}, "http://a%3Ab%40c:p%2Fq@h/")
      is({host = "h", path = "/a?b#c"}, "http://h/a%3Fb%23c")
      is({host = "h", args = {n = 1, b = true}}, "http://h/?b=true&n=1")
      is({host = "h", query = "", args = {}}, "http://h/")
      is({scheme = "redis", host = "h", port = 6379, path = "/0"}, "redis://h:6379/0")
    "#);
    errors(&[
        (
            "require 'url'.encode {}",
            "url.encode: the parts have no `host`",
        ),
        (
            "require 'url'.encode 'x'",
            "url.encode: `parts` must be a table",
        ),
        (
            "require 'url'.encode {host = 'h', prot = 1}",
            "there is no option the string \"prot\"",
        ),
        (
            "require 'url'.encode {host = 'h', port = 70000}",
            "`port` must be a number from 0",
        ),
        (
            "require 'url'.encode {host = 'h', port = -1}",
            "`port` must be a number from 0",
        ),
        (
            "require 'url'.encode {host = 'h/../x'}",
            "are no scheme and host",
        ),
        (
            "require 'url'.encode {host = 'evil@h'}",
            "are no scheme and host",
        ),
        (
            "require 'url'.encode {host = 'h:1'}",
            "are no scheme and host",
        ),
        (
            "require 'url'.encode {host = 'h?q'}",
            "are no scheme and host",
        ),
        ("require 'url'.encode {host = ''}", "are no scheme and host"),
        (
            "require 'url'.encode {host = 'h', args = {a = {{}}}}",
            "`args` must be a string",
        ),
    ]);
}

#[test]
fn urls_become_parts() {
    run(r#"
      local url, json = require "url", require "json"
      local p = url.decode "https://us%20er:pass@example.com:8443/a%20b?key=v1&key=v2&x#section"
      assert(p.scheme == "https" and p.username == "us er" and p.password == "pass")
      assert(p.host == "example.com" and p.port == 8443 and p.path == "/a%20b")
      assert(p.query == "key=v1&key=v2&x" and p.fragment == "section")
      assert(json(p.args) == '{"key":["v1","v2"],"x":[""]}')
      local p = url.decode "http://h"
      assert(p.path == "/" and p.username == nil and p.password == nil and p.port == nil)
      assert(p.query == nil and p.args == nil and p.fragment == nil)
    "#);
    errors(&[
        (
            "require 'url'.decode '/path'",
            "url.decode: the text is not an absolute URL",
        ),
        ("require 'url'.decode 'http://h:99999'", "invalid port"),
        (
            "require 'url'.decode(nil)",
            "url.decode: `url` must be a string, not nil",
        ),
        (
            "require 'url'.decode('http://h/' .. ('x'):rep(2^20))",
            "more than 1048576 bytes",
        ),
    ]);
}

#[test]
fn queries_survive_byte_for_byte() {
    run(r#"
      local url = require "url"
      assert(url.quote {key = {"value1", "value2"}, other = {"value3"}}
        == "key=value1&key=value2&other=value3")
      assert(url.quote {q = "a b&c=d+e/ü"} == "q=a+b%26c%3Dd%2Be%2F%C3%BC")
      local all = {}
      for byte = 0, 255 do all[byte] = string.char(byte) end
      local bytes = table.concat(all, "", 0, 255)
      assert(url.unquote(url.quote {[bytes] = bytes})[bytes][1] == bytes)
      local args = url.unquote "a=1&&a=2+3&b&=x&c=%zz&d==&e=%41"
      assert(args.a[1] == "1" and args.a[2] == "2 3" and #args.a == 2)
      assert(args.b[1] == "" and args[""][1] == "x" and args.c[1] == "%zz")
      assert(args.d[1] == "=" and args.e[1] == "A")
      assert(next(url.unquote "") == nil and url.quote {} == "")
    "#);
    errors(&[
        (
            "require 'url'.quote(1)",
            "url.quote: `args` must be a table, not the number 1",
        ),
        (
            "require 'url'.quote {a = print}",
            "url.quote: `args` must be a string, a number",
        ),
        (
            "local s = ('x'):rep(2^19); require 'url'.quote {a = {s, s, s}}",
            "url.quote: the URL or query has more than",
        ),
    ]);
}
