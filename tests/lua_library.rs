//! Runs the Lua library's own tests: every file in `tests/lua`.
//!
//! A file is a chunk called with `(host, lib, test)`: the recording host of
//! `support/host.lua`, the loaded library modules and the assertions of
//! `support/assert.lua`. It returns a table of test functions by name. Each
//! test runs in a Lua state of its own, so that registries start empty.
//! A first line `-- needs: a, b` loads further library modules.

use std::fs;
use std::path::{Path, PathBuf};

use mlua::{FromLua, Function, Lua, Table, Value};

/// The order in which the host loads the library's modules.
const MODULES: [&str; 18] = [
    "class",
    "check",
    "color",
    "utils",
    "list",
    "print",
    "pprint",
    "log",
    "time",
    "event",
    "context",
    "alert",
    "rule",
    "criterion",
    "policy",
    "dissector",
    "packet_dissector",
    "haka",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a file of the project as a chunk named by its path from the root.
fn run(lua: &Lua, path: &Path, arguments: impl mlua::IntoLuaMulti) -> mlua::Result<Value> {
    let name = path.strip_prefix(root()).unwrap_or(path);
    lua.load(source(path))
        .set_name(format!("@{}", name.display()))
        .call(arguments)
}

/// A fresh state with the library loaded, and the tests of `file` in it.
fn load(file: &Path) -> mlua::Result<(Lua, Table)> {
    // SAFETY: only the project's own chunks run in this state, and none of
    // them uses the unsafe libraries (debug, ffi) against the interpreter.
    let lua = unsafe { Lua::unsafe_new() };
    let support = root().join("tests/lua/support");
    let host = run(&lua, &support.join("host.lua"), ())?;
    let test = run(&lua, &support.join("assert.lua"), ())?;

    let lib = lua.create_table()?;
    let text = source(file);
    let needs = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("-- needs:"));
    let extra = needs.iter().flat_map(|names| names.split(','));
    for module in MODULES.into_iter().chain(extra.map(str::trim)) {
        let path = root().join(format!("src/lua/lib/{module}.lua"));
        lib.set(module, run(&lua, &path, (&host, &lib))?)?;
    }

    let tests = run(&lua, file, (host, lib, test))?;
    let tests = Table::from_lua(tests, &lua)?;
    Ok((lua, tests))
}

/// Files that other tests run: the sandbox needs a sealed state, buffers
/// need the native store.
fn has_own_runner(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["sandbox.lua", "escape.lua", "regexp.lua"].contains(&&*name) || name.starts_with("vbuffer")
}

fn test_files() -> Vec<PathBuf> {
    let folder = root().join("tests/lua");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of the tests is in the repository")
        .map(|entry| entry.expect("its entries can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "lua"))
        .filter(|path| !has_own_runner(path))
        .collect();
    files.sort();
    files
}

fn names_of(tests: &Table) -> mlua::Result<Vec<String>> {
    let mut names = tests
        .pairs::<String, Function>()
        .map(|pair| pair.map(|(name, _)| name))
        .collect::<mlua::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn run_test(file: &Path, name: &str) -> mlua::Result<()> {
    let (_lua, tests) = load(file)?;
    tests.get::<Function>(name)?.call(())
}

#[test]
fn lua_library() {
    let mut failures = Vec::new();
    let mut passed = 0;
    for file in test_files() {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let names = load(&file).and_then(|(_lua, tests)| names_of(&tests));
        let names = names.unwrap_or_else(|error| {
            failures.push(format!("{stem}: does not load: {error}"));
            Vec::new()
        });
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
