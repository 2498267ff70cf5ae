//! What the library tells of rules at work, in a state made for it.
//!
//! `lua/lib/watch.lua` announces spans and says when each begins and ends;
//! here that reaches the engine's observer, or a profiler. A state that is
//! not watched has none of this.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, LuaString, Table};

use crate::core::Span;
use crate::engine::Shared;
use crate::event::EventKind;
use crate::lua::profile::{Profiler, SpanName};

/// Who watches the rules of a state.
#[derive(Clone, Default)]
pub enum Watch {
    #[default]
    Nobody,
    /// The engine's observer.
    Observer,
    Profiler(Rc<Profiler>),
}

/// A span as the library announces it.
type Announced = (
    String,
    Option<String>,
    Option<String>,
    Option<u32>,
    Option<String>,
);

/// Puts the table `watch` into the table `host`, if somebody watches.
///
/// # Errors
/// When Lua is out of memory.
pub fn install(lua: &Lua, host: &Table, engine: &Shared, watch: &Watch) -> mlua::Result<()> {
    match watch {
        Watch::Nobody => Ok(()),
        Watch::Observer => host.set("watch", observing(lua, engine)?),
        Watch::Profiler(profiler) => {
            let table = lua.create_table()?;
            let own = Rc::clone(profiler);
            table.set(
                "span",
                lua.create_function(move |_, announced: Announced| {
                    Ok(own.announce(profiled(span_of(announced))))
                })?,
            )?;
            profiler.install(&table)?;
            host.set("watch", table)
        }
    }
}

fn observing(lua: &Lua, engine: &Shared) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let spans: Rc<RefCell<Vec<Span>>> = Rc::default();
    let own = Rc::clone(&spans);
    table.set(
        "span",
        lua.create_function(move |_, announced: Announced| {
            let mut spans = own.borrow_mut();
            spans.push(span_of(announced));
            Ok(spans.len() - 1)
        })?,
    )?;
    let shared = Rc::clone(engine);
    table.set(
        "begin",
        lua.create_function(move |_, (span, subject): (usize, Option<f64>)| {
            let mut token = 0;
            if let Some(span) = spans.borrow().get(span) {
                // A signal has no subject of the engine: -1.
                let subject = subject
                    .filter(|slot| *slot >= 0.0)
                    .map_or(u32::MAX, |slot| slot as u32);
                shared
                    .borrow_mut()
                    .core
                    .observe(|observer, core| token = observer.begin(core, span, subject));
            }
            Ok(token)
        })?,
    )?;
    let shared = Rc::clone(engine);
    table.set(
        "done",
        lua.create_function(move |_, (token, result): (u32, Option<LuaString>)| {
            let result = result.map(|text| text.to_string_lossy());
            shared
                .borrow_mut()
                .core
                .observe(|observer, core| observer.done(core, token, result.as_deref()));
            Ok(())
        })?,
    )?;
    let shared = Rc::clone(engine);
    table.set(
        "read",
        lua.create_function(
            move |_, (object, field, value, text): (String, String, LuaString, bool)| {
                let bytes = value.as_bytes();
                let value = if text {
                    format!("\"{}\"", bytes.escape_ascii())
                } else {
                    String::from_utf8_lossy(&bytes).into_owned()
                };
                shared
                    .borrow_mut()
                    .core
                    .observe(|observer, core| observer.read(core, &object, &field, &value));
                Ok(())
            },
        )?,
    )?;
    Ok(table)
}

fn span_of((what, name, location, number, entry): Announced) -> Span {
    let number = number.unwrap_or(0);
    let event = EventKind::from_number(number as u8);
    match (what.as_str(), event) {
        ("event", Some(kind)) => Span::Event(kind),
        ("rule", _) => Span::Rule {
            name,
            location: location.unwrap_or_default(),
            place: number,
        },
        ("member", _) => Span::Member {
            location: location.unwrap_or_default(),
        },
        ("policy", _) => Span::Policy {
            policy: name.unwrap_or_default(),
            entry: entry.unwrap_or_default(),
            location,
        },
        _ => Span::Signal {
            event: name.unwrap_or_default(),
        },
    }
}

fn profiled(span: Span) -> SpanName {
    let of = |name: Option<String>, location: String| match name {
        Some(name) => SpanName::Rule { name, location },
        None => SpanName::Rule {
            name: String::new(),
            location,
        },
    };
    match span {
        Span::Event(kind) => {
            let row = kind.row();
            SpanName::Event(format!("{}:{}", row.dissector, row.name))
        }
        Span::Signal { event } => SpanName::Event(event),
        Span::Rule { name, location, .. } => of(name, location),
        Span::Member { location } => SpanName::Member { location },
        Span::Policy {
            policy,
            entry,
            location,
        } => SpanName::Policy {
            name: format!("{policy}: {entry}"),
            location: location.unwrap_or_default(),
        },
    }
}
