//! The reference pages and stubs are what the program writes, and can be used.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wero::manual;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn wero(arguments: &[&str]) -> Vec<u8> {
    let run = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(arguments)
        .output()
        .expect("wero runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    run.stdout
}

/// `UPDATE_GOLDEN=1` writes the pages anew.
#[test]
fn the_pages_are_what_the_program_writes() {
    let folder = root().join("doc/reference");
    let files = manual::reference();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for file in &files {
            fs::write(folder.join(&file.path), &file.text).expect("the page can be written");
        }
    }
    let hint = "run: wero doc reference -o doc/reference";
    for file in &files {
        let page = fs::read_to_string(folder.join(&file.path)).unwrap_or_default();
        assert_eq!(page, file.text, "{}: {hint}", file.path);
    }
    let written: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for entry in fs::read_dir(folder).expect("there are pages") {
        let name = entry.expect("a readable folder").file_name();
        let name = name.to_string_lossy();
        assert!(
            written.contains(&*name),
            "doc/reference/{name} is written by nobody"
        );
    }
}

/// The files below a folder.
fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a readable folder").path();
        match path.is_dir() {
            true => below(&path, files),
            false => files.push(path),
        }
    }
}

#[test]
fn stubs_are_lua_that_loads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_str().expect("its name is text");
    wero(&["doc", "stubs", "-o", path]);
    let mut files = Vec::new();
    below(folder.path(), &mut files);
    assert_eq!(files.len(), manual::stubs().len());
    let lua = mlua::Lua::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("it was written");
        assert!(text.starts_with("---@meta "), "{}", file.display());
        let chunk = lua.load(&text).set_name(file.display().to_string());
        chunk
            .into_function()
            .unwrap_or_else(|error| panic!("{error}"));
    }
    // The reader of `wero lint` takes them as well.
    let lint = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["lint", path])
        .output()
        .expect("wero runs");
    let found = String::from_utf8_lossy(&lint.stdout);
    assert!(!found.contains("error[syntax]"), "{found}");
}

#[test]
fn stubs_tell_what_rules_see_and_what_they_do_not() {
    let all: String = manual::stubs().into_iter().map(|file| file.text).collect();
    for line in [
        "---@class tcp : ipv4, ipv6, packet",
        "---@field dstport integer Destination port.",
        "---@field receive_packet event A TCP segment arrived. Listener: `listener.tcp.receive_packet`.",
        "---@alias listener.tcp_connection.new_connection fun(flow: tcp_connection, pkt: tcp)",
        "---@alias listener.tcp_connection.receive_data.streamed fun(flow: tcp_connection, \
         iter: vbuffer_iterator_blocking, direction: 'up'|'down')",
        "---@field no_connection_found policy A segment that belongs to no known connection.",
        "function haka.rule(rule) end",
        "---@overload fun(fields: alert.fields): alert_handle",
        "---@meta protocol/ipv4",
        "---@deprecated\nfunction io.open(...) end",
    ] {
        assert!(all.contains(line), "no line: {line}");
    }
    // Whatever is a class is defined once.
    let mut seen = BTreeSet::new();
    for line in all.lines() {
        let Some(rest) = line
            .strip_prefix("---@class ")
            .or(line.strip_prefix("---@alias "))
        else {
            continue;
        };
        let name = rest.split(' ').next().unwrap_or_default();
        assert!(seen.insert(name), "{name} is defined twice");
    }
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = String::from_utf8(wero(&["doc", "completions", shell])).expect("text");
        assert!(text.contains("replay") && text.contains("lint"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_str().expect("its name is text");
    wero(&["doc", "man", "-o", path]);
    let page =
        |name: &str| fs::read_to_string(folder.path().join(name)).expect("the page is there");
    assert!(page("wero.1").contains("replay"));
    assert!(page("wero-replay.1").contains("monitor"));
}
