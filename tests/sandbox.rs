//! The sandbox under attack: `tests/lua/escape.lua` tries to get out, and
//! `tests/lua/sandbox.lua` checks that what rules need is still there.

use std::ffi::c_void;

use mlua::{Function, LightUserData, Lua, Table, UserData};
use wero::lua::pattern::{CDEF, PATTERN_API};

/// A native object as the host might hand out.
struct HostObject;

impl UserData for HostObject {
    fn add_methods<M: mlua::UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("name", |_, _, ()| Ok("host"));
    }
}

/// Stands in for the Lua host: files are a table, time stands still.
const HOST: &str = r#"
local cdef, address, object = ...
local ffi = require('ffi')
ffi.cdef(cdef)
-- Rules will change the globals, so the host keeps its own.
local assert, type, gmatch, gsub = assert, type, string.gmatch, string.gsub
local files = {
  ['./good.lua'] = 'local name = ... return { name = name, env = getfenv(1) }',
  ['./none.lua'] = 'loaded_none = (loaded_none or 0) + 1',
  ['./broken.lua'] = 'return +',
  ['./loop.lua'] = 'return require("loop")',
  ['./raises.lua'] = 'error("told you")',
  ['./bytecode.lua'] = string.dump(function () return 'bytecode' end),
  ['./packages/old.lua'] = 'module("packages.old", package.seeall) '
    .. 'function hello() return tostring(_NAME) end',
}
local host = {
  ffi = ffi,
  pattern_api = ffi.cast('const wero_pattern_api *', address),
  pattern_steps = 1e5,
  seed = 7,
  package_path = './?.lua',
  written = {},
  object = object,
}
function host.write(fd, text)
  assert(type(text) == 'string')
  host.written[#host.written + 1] = fd .. ':' .. text
end
function host.now() return 1234567890.75 end
function host.read_file(name)
  if files[name] then return files[name], '@' .. name end
  return nil, 'cannot open ' .. name
end
function host.read_module(name, path)
  local tried = ''
  for pattern in gmatch(path, '[^;]+') do
    local file = gsub(pattern, '%?', (gsub(name, '%.', '/')))
    if files[file] then return files[file], '@' .. file end
    tried = tried .. "\n\tno file '" .. file .. "'"
  end
  return nil, tried
end
return host
"#;

/// A piece of library: looks names up as globals, so a changed environment
/// shows, and hides a value that no rule may get at.
/// Its environment is its own, as that of a host's helper may be.
const LIBRARY: &str = r#"
local host = ...
local private = { secret = host.ffi }
for name, value in pairs(_G) do private[name] = value end
setfenv(1, private)
local secret = host.ffi
local library = { object = host.object }
library.bytecode = string.dump(function () return 'bytecode' end)
function library.intact()
  return tostring(1) == '1' and secret == host.ffi and type(host.ffi.new) == 'function'
end
function library.call(callback, ...) return callback(...) end
function library.raise() error({ code = 1 }) end
library.frozen = setmetatable({}, { __metatable = false, __index = { secret = 1 } })
return library
"#;

/// Runs a file of named tests, `name = function`, in a sealed VM and returns
/// the names of those that `failed`, a Lua function, finds fault with.
fn faults(file: &str, source: &str, failed: &str) -> (usize, Vec<String>) {
    // SAFETY: `unsafe_new` opens ffi and debug to the chunks of this file;
    // the sandbox takes them away before any other chunk runs.
    let lua = unsafe { Lua::unsafe_new() };
    lua.set_memory_limit(64 << 20)
        .expect("the memory can be limited");
    let address = LightUserData(&raw const PATTERN_API as *mut c_void);
    let object = lua
        .create_userdata(HostObject)
        .expect("userdata can be made");
    let host: Table = lua
        .load(HOST)
        .call((CDEF, address, object))
        .expect("the host loads");
    let chunk = |name: &str, source: &str| -> Function {
        let chunk = lua.load(source).set_name(format!("=[wero]/{name}"));
        chunk.into_function().expect("library chunks compile")
    };
    let lib = lua.create_table().expect("tables can be made");
    let left_out = lua.create_table().expect("tables can be made");
    host.set("left_out", left_out).expect("tables can be set");
    let patterns = chunk("patterns.lua", include_str!("../src/lua/lib/patterns.lua"));
    let patterns: Table = patterns.call((&host, &lib)).expect("patterns.lua loads");
    lib.set("patterns", patterns).expect("tables can be set");
    let library: Table = chunk("library.lua", LIBRARY)
        .call(&host)
        .expect("the library loads");
    let ordered = chunk("ordered.lua", include_str!("../src/lua/lib/ordered.lua"));
    lib.set(
        "ordered",
        ordered.call::<Table>(()).expect("ordered.lua loads"),
    )
    .expect("lib is a table");
    let sandbox = chunk("sandbox.lua", include_str!("../src/lua/lib/sandbox.lua"));
    let seal: Function = sandbox.call((&host, &lib)).expect("sandbox.lua loads");
    let failed: Function = chunk("judge.lua", failed)
        .call((&library, &host))
        .expect("it loads");

    let extras = lua.create_table().expect("tables can be made");
    extras.set("library", &library).expect("tables can be set");
    let written: mlua::Value = host.get("written").expect("it is there");
    extras.set("written", written).expect("tables can be set");
    let preload = lua.load(
        "return { debug = { pprint = print }, package = { preload = {
        given = function (name) return 'given ' .. name end } } }",
    );
    let more: Table = preload.eval().expect("a table");
    for pair in more.pairs::<String, Table>() {
        let (name, table) = pair.expect("names and tables");
        extras.set(name, table).expect("tables can be set");
    }
    seal.call::<()>((lua.globals(), extras))
        .expect("the globals can be sealed");

    let tests: Table = lua
        .load(source)
        .set_name(format!("@{file}"))
        .eval()
        .expect("the tests load");
    let mut count = 0;
    let mut wrong = Vec::new();
    for test in tests.sequence_values::<Table>() {
        let test = test.expect("a test is a table");
        let name: String = test.get(1).expect("a test has a name");
        let body: Function = test.get(2).expect("a test has a body");
        count += 1;
        let fault: Option<String> = failed.call(body).expect("the judge does not fail");
        wrong.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    (count, wrong)
}

#[test]
fn nothing_escapes() {
    // An attempt succeeds when it returns something true; it may also break
    // the library, for itself or for the next one.
    let judge = "local library = ...
        local pcall, tostring = pcall, tostring
        return function (attempt)
          local ok, got = pcall(attempt)
          if ok and got then return 'reached ' .. tostring(got) end
          if not library.intact() then return 'broke the library' end
        end";
    let source = include_str!("lua/escape.lua");
    let (count, wrong) = faults("escape.lua", source, judge);
    assert!(
        wrong.is_empty(),
        "{} of {count} got out:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 40, "only {count} attempts");
}

#[test]
fn rules_keep_what_they_need() {
    let judge = "local pcall, tostring = pcall, tostring
        return function (test)
          local ok, text = pcall(test)
          if not ok then return tostring(text) end
        end";
    let source = include_str!("lua/sandbox.lua");
    let (count, wrong) = faults("sandbox.lua", source, judge);
    assert!(
        wrong.is_empty(),
        "{} of {count} failed:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 15, "only {count} tests");
}
