//! What the interactive part of the Lua library asks of the program: lines
//! from a person, calls with a budget of their own, the debugger's hook, and
//! the counters that the console shows.

use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::services::Services;
use crate::event::Complete;
use crate::lua::Pause;

/// Puts the functions into the table `host`.
///
/// # Errors
/// When Lua is out of memory.
pub fn install(
    lua: &Lua,
    host: &Table,
    services: &Rc<Services>,
    pause: &Pause,
) -> mlua::Result<()> {
    let (own, reading) = (Rc::clone(services), pause.clone());
    host.set(
        "read_line",
        lua.create_function(move |lua, (prompt, complete): (String, Option<Function>)| {
            let complete = complete.map(|function| completer(lua, reading.clone(), function));
            Ok(read_line(&own, &reading, &prompt, complete))
        })?,
    )?;
    let own = Rc::clone(services);
    host.set(
        "has_terminal",
        lua.create_function(move |_, ()| {
            let terminal = own.out.borrow().terminal();
            // One that is being read from has no lines for others.
            Ok(terminal.is_some_and(|terminal| terminal.try_borrow_mut().is_ok()))
        })?,
    )?;
    let own = Rc::clone(services);
    host.set(
        "wants_debugger",
        lua.create_function(move |_, ()| {
            let terminal = own.out.borrow().terminal();
            Ok(terminal.is_some_and(|terminal| {
                terminal
                    .try_borrow()
                    .is_ok_and(|terminal| terminal.debugger())
            }))
        })?,
    )?;
    let evaluating = pause.clone();
    host.set(
        "evaluate",
        lua.create_function(
            move |lua, (request, arguments): (Function, MultiValue)| -> mlua::Result<MultiValue> {
                match evaluating.evaluate(&request, arguments) {
                    Ok(values) => Ok(values),
                    Err(message) => (false, message).into_lua_multi(lua),
                }
            },
        )?,
    )?;
    let hooking = pause.clone();
    host.set(
        "hook_lines",
        lua.create_function(move |lua, hook: Option<Function>| hooking.hook_lines(lua, hook))?,
    )?;
    let broken = pause.clone();
    host.set(
        "broken",
        lua.create_function(move |_, ()| {
            broken.broken();
            Ok(())
        })?,
    )?;
    let own = Rc::clone(services);
    host.set(
        "thread_counters",
        lua.create_function(move |lua, ()| counters(lua, &own))?,
    )
}

/// The next line, with the rule's clock stopped while it is typed.
fn read_line(
    services: &Services,
    pause: &Pause,
    prompt: &str,
    complete: Option<Complete>,
) -> Option<String> {
    services.flush();
    let terminal = services.out.borrow().terminal()?;
    let mut terminal = terminal.try_borrow_mut().ok()?;
    pause.wait(|| terminal.read_line(prompt, complete))
}

/// Completion looks into objects of rules, so that it is a request like
/// any other. What fails has no candidates.
fn completer(lua: &Lua, pause: Pause, function: Function) -> Complete {
    let lua = lua.clone();
    Rc::new(move |text| {
        let none = (text.len(), Vec::new());
        let Ok(text) = text.into_lua_multi(&lua) else {
            return none;
        };
        let Ok(mut values) = pause.evaluate(&function, text) else {
            return none;
        };
        match (values.pop_front(), values.pop_front()) {
            (Some(start), Some(Value::Table(candidates))) => {
                let start = start.as_usize();
                let candidates = candidates.sequence_values::<String>().flatten().collect();
                start.map_or(none, |start| (start, candidates))
            }
            _ => none,
        }
    })
}

/// One row of `haka.console.threads()`.
fn counters(lua: &Lua, services: &Services) -> mlua::Result<Table> {
    let row = lua.create_table()?;
    let engine = services.engine.borrow();
    let stats = &engine.core.stats;
    row.set("status", "running")?;
    row.set("recv_pkt", stats.packets)?;
    row.set("recv_bytes", stats.bytes)?;
    row.set(
        "trans_pkt",
        stats.accepted + stats.rewritten + stats.injected,
    )?;
    row.set("trans_bytes", stats.sent_bytes)?;
    row.set("drop_pkt", stats.drops.total())?;
    Ok(row)
}
