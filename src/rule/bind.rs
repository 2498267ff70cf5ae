//! Tables of Rust as tables of Lua: fields, events, modules.
//!
//! The Lua library generates the accessors of packet objects from these
//! rows; nothing about a header is written down twice.

#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "http")]
mod http;

use mlua::{Lua, Table};

use crate::engine::Engine;
use crate::event::profile::Defaults;
use crate::event::{EVENTS, Subject};
use crate::misc;
use crate::proto::application::Over;
use crate::proto::field::{Field, Shape};
use crate::proto::{PROTOCOLS, Protocol, optional};

/// Puts what one protocol's Lua reads into the host's table.
pub type Bind = fn(&Lua, &Table, &Engine) -> mlua::Result<()>;

/// Of every protocol that has more than rows of the tables below.
pub const OWN: &[Bind] = &[
    #[cfg(feature = "dns")]
    dns::bind,
    #[cfg(feature = "http")]
    http::bind,
];

/// `protocol name -> list of fields`.
///
/// # Errors
/// When Lua is out of memory.
pub fn fields(lua: &Lua) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    for protocol in PROTOCOLS {
        let list = lua.create_table()?;
        for field in protocol.fields {
            list.push(field_row(lua, field)?)?;
        }
        all.set(protocol.name, list)?;
    }
    Ok(all)
}

fn field_row(lua: &Lua, field: &Field) -> mlua::Result<Table> {
    let row = lua.create_table()?;
    row.set("name", field.name)?;
    row.set("layer", field.header as u32)?;
    row.set("offset", field.offset)?;
    row.set("width", field.width)?;
    row.set("writable", field.writable)?;
    row.set("doc", field.doc)?;
    match field.shape {
        Shape::Number { mask, shift, unit } => {
            row.set("type", "number")?;
            row.set("mask", mask)?;
            row.set("shift", shift)?;
            row.set("unit", unit)?;
        }
        Shape::Flag { mask } => {
            row.set("type", "flag")?;
            row.set("mask", mask)?;
        }
        Shape::Address { which } => {
            row.set("type", "address")?;
            row.set("which", which)?;
        }
    }
    Ok(row)
}

/// The list of all events (`dissector`, `name`, `packet`: whether its
/// subject is one), and `dissector -> name -> number`.
///
/// # Errors
/// When Lua is out of memory.
pub fn events(lua: &Lua) -> mlua::Result<(Table, Table)> {
    let list = lua.create_table()?;
    let kinds = lua.create_table()?;
    for row in EVENTS {
        let event = lua.create_table()?;
        event.set("dissector", row.dissector)?;
        event.set("name", row.name)?;
        event.set("packet", row.subject == Subject::Packet)?;
        list.push(event)?;
        let of_dissector = match kinds.get::<Option<Table>>(row.dissector)? {
            Some(table) => table,
            None => {
                let table = lua.create_table()?;
                kinds.set(row.dissector, &table)?;
                table
            }
        };
        of_dissector.set(row.name, row.kind as u8)?;
    }
    Ok((list, kinds))
}

/// `require name -> {name, chunk, bit, ports, udp_ports, needs}`.
///
/// # Errors
/// When Lua is out of memory.
pub fn modules(lua: &Lua, defaults: &Defaults) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    for protocol in PROTOCOLS
        .iter()
        .filter(|protocol| !protocol.require.is_empty())
    {
        let row = lua.create_table()?;
        row.set("name", protocol.name)?;
        row.set("chunk", protocol.chunk)?;
        row.set("bit", protocol.bit)?;
        let (tcp, udp) = ports(protocol, defaults);
        row.set("ports", tcp)?;
        row.set("udp_ports", udp)?;
        row.set("needs", needs(protocol, defaults.network_ipv6))?;
        all.set(protocol.require, row)?;
    }
    for module in misc::MODULES {
        let row = lua.create_table()?;
        row.set("name", module.name)?;
        row.set("chunk", module.require)?;
        row.set("bit", 0)?;
        row.set("needs", lua.create_table()?)?;
        all.set(module.require, row)?;
    }
    Ok(all)
}

/// `require name -> feature` of the modules that this build leaves out.
///
/// # Errors
/// When Lua is out of memory.
pub fn left_out(lua: &Lua) -> mlua::Result<Table> {
    let modules = optional::left_out().filter(|module| !module.require.is_empty());
    lua.create_table_from(modules.map(|module| (module.require, module.feature)))
}

/// The ports on which a dissector is the default, of TCP and of UDP.
fn ports(protocol: &Protocol, defaults: &Defaults) -> (Vec<u16>, Vec<u16>) {
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    for over in protocol.over {
        match *over {
            _ if !over.is_usual(protocol.bit, defaults) => {}
            Over::TcpPort(port) => tcp.push(port),
            Over::UdpPort(port) => udp.push(port),
            Over::TcpProbe(_) => {}
        }
    }
    (tcp, udp)
}

fn needs(protocol: &Protocol, ipv6: bool) -> Vec<&'static str> {
    let with_ipv6 = if ipv6 { protocol.needs_with_ipv6 } else { &[] };
    protocol.needs.iter().chain(with_ipv6).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Profile, Settings};

    #[test]
    fn rows_arrive_in_lua_with_their_numbers() {
        let lua = Lua::new();
        let fields = fields(&lua).expect("tables can be made");
        let ipv4: Table = fields.get("ipv4").expect("ipv4 has fields");
        let offset: Table = ipv4
            .sequence_values::<Table>()
            .map(|row| row.expect("rows are tables"))
            .find(|row| {
                row.get::<String>("name")
                    .is_ok_and(|name| name == "frag_offset")
            })
            .expect("the field is there");
        assert_eq!(offset.get::<u32>("mask").expect("a number"), 0x1fff);
        assert_eq!(offset.get::<u32>("unit").expect("a number"), 8);

        let (list, kinds) = events(&lua).expect("tables can be made");
        assert_eq!(list.raw_len(), EVENTS.len());
        let tcp: Table = kinds.get("tcp").expect("tcp has events");
        assert_eq!(
            tcp.get::<u8>("receive_packet").expect("a number"),
            crate::event::EventKind::TcpReceive as u8
        );
    }

    #[test]
    fn ipv6_comes_with_the_transports_only_where_it_is_a_default() {
        let lua = Lua::new();
        for (ipv6, expected) in [(true, 2), (false, 1)] {
            let settings = Settings::new(Profile::Wero);
            let defaults = Defaults {
                network_ipv6: ipv6,
                ..settings.defaults
            };
            let modules = modules(&lua, &defaults).expect("tables can be made");
            let tcp: Table = modules.get("protocol/tcp").expect("it can be required");
            assert_eq!(
                tcp.get::<Table>("needs").expect("a list").raw_len(),
                expected
            );
        }
    }
}
