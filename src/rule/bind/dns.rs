//! DNS: where its messages are, and the names of types of records.

use std::ffi::c_void;

use mlua::{LightUserData, Lua, Table};

use crate::engine::Engine;
use crate::proto::dns::RecordType;

pub fn bind(lua: &Lua, host: &Table, engine: &Engine) -> mlua::Result<()> {
    let (messages, mask) = engine.common.dns.messages.base();
    let at: *const c_void = messages.cast();
    let addresses: Table = host.get("addresses")?;
    addresses.set("dns", LightUserData(at.cast_mut()))?;
    host.set("dns_mask", mask)?;
    let few = engine.core.settings.defaults.dns_few_type_names;
    host.set("dns_types", types(lua, few)?)
}

/// The names by number; `few` for those that Haka knew.
fn types(lua: &Lua, few: bool) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    for (RecordType(number), name) in RecordType::all() {
        if !few || matches!(number, 1..=16 | 28) {
            all.set(number, name)?;
        }
    }
    Ok(all)
}
