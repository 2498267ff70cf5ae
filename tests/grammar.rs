//! Runs the grammar's own tests: every file in `tests/lua/grammar`.
//!
//! They need both the native buffers and the rule library, without an
//! engine. A file is a chunk called with `(host, lib, test)` as those of
//! `lua_library.rs` are, with `haka` as a global; it returns test functions
//! by name, and each runs in a Lua state of its own.

#![allow(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use mlua::{FromLua, Function, LightUserData, Lua, Table, Value};
use wero::buf::{Limits, Store};
use wero::lua::buf_api::{BUF_API, BufApi, CDEF, Registration};
use wero::lua::embed::LIBRARY;
use wero::lua::regexp_api;

/// Chunks that need an engine, which these tests do not have.
const ENGINE: [&str; 5] = ["boot", "patterns", "address", "cnx_table", "checksum"];

const OPEN: &str = "
    local host, api, store, cdef, regexp_api, regexps = ...
    host.ffi.cdef(cdef)
    host.regexp_api = host.ffi.cast('const wero_regexp_api *', regexp_api)
    host.regexps = host.ffi.cast('wero_regexps *', regexps)
    host.buf_api = host.ffi.cast('const wero_buf_api *', api)
    host.store = host.ffi.cast('wero_store *', store)
";

/// A Lua state over a buffer store of its own. Fields are dropped in order:
/// finalizers need the registration, which needs the store.
struct State {
    tests: Table,
    lua: Lua,
    _registration: Registration,
    _regexps: regexp_api::Registration,
    _store: Box<Store>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a file of the project as a chunk named by its path from the root.
fn run(lua: &Lua, path: &Path, arguments: impl mlua::IntoLuaMulti) -> mlua::Result<Value> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.strip_prefix(root()).unwrap_or(path);
    lua.load(text)
        .set_name(format!("@{}", name.display()))
        .call(arguments)
}

fn load(file: &Path) -> mlua::Result<State> {
    let mut store = Box::new(Store::new(Limits::default()));
    let pointer: *mut Store = &mut *store;
    // SAFETY: the box keeps its address until after the registration and the
    // state are dropped.
    let registration = unsafe { Registration::new(pointer) };
    let regexps = regexp_api::Registration::default();
    // SAFETY: only the project's own chunks run in this state.
    let lua = unsafe { Lua::unsafe_new() };
    let support = root().join("tests/lua/support");
    let host = Table::from_lua(run(&lua, &support.join("host.lua"), ())?, &lua)?;
    let test = run(&lua, &support.join("assert.lua"), ())?;
    let api: *const BufApi = &raw const BUF_API;
    lua.load(OPEN).call::<()>((
        &host,
        LightUserData(api.cast_mut().cast()),
        LightUserData(pointer.cast()),
        [CDEF, regexp_api::CDEF].concat(),
        LightUserData((&raw const regexp_api::REGEXP_API).cast_mut().cast()),
        LightUserData(regexps.address().cast()),
    ))?;

    let lib = lua.create_table()?;
    let end = LIBRARY.iter().position(|module| module.name == "grammar");
    let end = end.expect("the library has grammars");
    for module in LIBRARY[..=end]
        .iter()
        .filter(|module| !ENGINE.contains(&module.name))
    {
        let path = root().join(format!("src/lua/lib/{}.lua", module.name));
        lib.set(module.name, run(&lua, &path, (&host, &lib))?)?;
    }
    run(&lua, &support.join("buffers.lua"), &lib)?;
    let tests = Table::from_lua(run(&lua, file, (host, lib, test))?, &lua)?;
    Ok(State {
        tests,
        lua,
        _registration: registration,
        _regexps: regexps,
        _store: store,
    })
}

fn test_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("tests/lua/grammar"))
        .expect("the folder of the tests is in the repository")
        .map(|entry| entry.expect("its entries can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "lua"))
        .collect();
    files.sort();
    files
}

fn names_of(state: &State) -> Vec<String> {
    let pairs = state.tests.pairs::<String, Function>();
    let mut names: Vec<String> = pairs
        .map(|pair| pair.expect("tests are functions by name").0)
        .collect();
    names.sort();
    names
}

fn run_test(file: &Path, name: &str) -> mlua::Result<()> {
    let state = load(file)?;
    state.tests.get::<Function>(name)?.call::<()>(())?;
    // Buffers that were dropped are freed without complaint.
    state.lua.gc_collect()
}

#[test]
fn grammar_library() {
    let mut failures = Vec::new();
    let mut passed = 0;
    for file in test_files() {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let names = match load(&file) {
            Ok(state) => names_of(&state),
            Err(error) => {
                failures.push(format!("{stem}: does not load: {error}"));
                continue;
            }
        };
        for name in names {
            match run_test(&file, &name) {
                Ok(()) => passed += 1,
                Err(error) => failures.push(format!("{stem}: {name}\n    {error}")),
            }
        }
    }
    println!("{passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(passed > 0, "no test was found");
}
