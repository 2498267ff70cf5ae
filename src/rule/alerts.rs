//! Alerts on their way out: those of rules, as Lua tables, and the engine's.
//!
//! The Lua library has checked and normalised what rules gave; a table that
//! is wrong here is a defect of the library.

use std::net::IpAddr;

use mlua::{Table, Value};

use crate::addr::Addr;
use crate::alert::{Alert, Completion, Confidence, FlowContext, Method, Node, NodeKind, Severity};
use crate::core::Core;
use crate::event::notice::NativeAlert;
use crate::event::{Notice, Outward};
use crate::flow::record::FlowRecord;
use crate::time::Timestamp;

/// Passes on what the engine itself has to say. `id` is for an alert.
pub fn report(notice: Notice, now: Timestamp, id: u64, out: &mut dyn Outward) {
    match notice {
        Notice::Log {
            level,
            section,
            text,
        } => out.log(level, section, &text),
        Notice::Alert(native) => out.alert(&from_native(native, now, id)),
    }
}

fn from_native(native: NativeAlert, now: Timestamp, id: u64) -> Alert {
    let mut alert = Alert {
        id,
        time: now,
        severity: native.severity_low.then_some(Severity::Low),
        description: Some(native.description),
        ..Alert::default()
    };
    if let Some([source, target]) = native.endpoints {
        alert.sources = Some(nodes_of(source));
        alert.targets = Some(nodes_of(target));
    }
    alert
}

fn nodes_of((address, service): (Addr, Option<String>)) -> Vec<Node> {
    let mut nodes = vec![Node {
        kind: NodeKind::Address,
        values: vec![address.to_string()],
    }];
    nodes.extend(service.map(|service| Node {
        kind: NodeKind::Service,
        values: vec![service],
    }));
    nodes
}

/// The alert that a normalised table stands for; id and context are the
/// caller's to fill in.
///
/// # Errors
/// When the table is not what the Lua library promises.
pub fn from_table(table: &Table) -> mlua::Result<Alert> {
    Ok(Alert {
        start_time: time(table, "start_time")?,
        end_time: time(table, "end_time")?,
        severity: text(table, "severity")?.and_then(|name| Severity::parse(&name)),
        confidence: confidence(table)?,
        completion: text(table, "completion")?.and_then(|name| Completion::parse(&name)),
        description: text(table, "description")?,
        method: method(table)?,
        sources: nodes(table, "sources")?,
        targets: nodes(table, "targets")?,
        refs: table.get::<Option<Vec<u64>>>("refs")?.unwrap_or_default(),
        ..Alert::default()
    })
}

/// Strings of Lua may hold any bytes; those that are no UTF-8 are replaced.
fn text(table: &Table, key: &str) -> mlua::Result<Option<String>> {
    let value: Option<mlua::LuaString> = table.get(key)?;
    Ok(value.map(|value| value.to_string_lossy()))
}

fn texts(table: &Table) -> mlua::Result<Vec<String>> {
    table
        .sequence_values::<mlua::LuaString>()
        .map(|value| Ok(value?.to_string_lossy()))
        .collect()
}

fn time(table: &Table, key: &str) -> mlua::Result<Option<Timestamp>> {
    let Some(time) = table.get::<Option<Table>>(key)? else {
        return Ok(None);
    };
    let (secs, nanos): (f64, f64) = (time.get("secs")?, time.get("nsecs")?);
    Ok(Some(Timestamp((secs * 1e9 + nanos) as i64)))
}

fn confidence(table: &Table) -> mlua::Result<Option<Confidence>> {
    Ok(match table.get::<Value>("confidence")? {
        Value::Integer(number) => Some(Confidence::Number(number as f64)),
        Value::Number(number) => Some(Confidence::Number(number)),
        Value::String(name) => Severity::parse(&name.to_string_lossy()).map(Confidence::Level),
        _ => None,
    })
}

fn method(table: &Table) -> mlua::Result<Option<Method>> {
    let Some(method) = table.get::<Option<Table>>("method")? else {
        return Ok(None);
    };
    let refs = method.get::<Option<Table>>("ref")?;
    Ok(Some(Method {
        description: text(&method, "description")?,
        refs: refs
            .map(|refs| texts(&refs))
            .transpose()?
            .unwrap_or_default(),
    }))
}

fn nodes(table: &Table, key: &str) -> mlua::Result<Option<Vec<Node>>> {
    let Some(list) = table.get::<Option<Table>>(key)? else {
        return Ok(None);
    };
    let mut nodes = Vec::new();
    for node in list.sequence_values::<Table>() {
        let node = node?;
        let kind = match text(&node, "type")?.as_deref() {
            Some("service") => NodeKind::Service,
            _ => NodeKind::Address,
        };
        nodes.push(Node {
            kind,
            values: texts(&node.get("values")?)?,
        });
    }
    Ok(Some(nodes))
}

/// Number of the packet in hand, and its flow, for alerts and error logs.
pub fn context(core: &Core) -> (Option<u64>, Option<FlowContext>) {
    // There is none before the first packet and after the last one: rules
    // raise alerts while they load, too.
    if !core.packets.is_live(core.current.packet) {
        return (None, None);
    }
    let id = Some(core.packet(core.current.packet).id).filter(|&id| id != 0);
    let flow = core
        .flows
        .live(core.current.flow)
        .filter(|_| id.is_some())
        .map(flow_context);
    (id, flow)
}

fn flow_context(record: &FlowRecord) -> FlowContext {
    let address = |bytes: [u8; 16]| -> IpAddr {
        if record.family == 4 {
            let [.., a, b, c, d] = bytes;
            Addr::v4([a, b, c, d]).into()
        } else {
            Addr::v6(bytes).into()
        }
    };
    let ports = matches!(record.protocol, 6 | 17);
    FlowContext {
        id: record.id,
        source: address(record.client),
        destination: address(record.server),
        source_port: ports.then_some(record.client_port),
        destination_port: ports.then_some(record.server_port),
        protocol: record.protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(source: &str) -> Alert {
        let lua = mlua::Lua::new();
        let table: Table = lua.load(source).eval().expect("the test states a table");
        from_table(&table).expect("it is well formed")
    }

    #[test]
    fn all_fields_of_a_table_arrive() {
        let alert = alert(
            "return { severity = 'high', confidence = 0.5, completion = 'failed', description = 'd',
               start_time = { secs = 3, nsecs = 5 }, method = { description = 'm', ref = { 'cve/1' } },
               sources = { { type = 'address', values = { '1.2.3.4' } } },
               targets = { { type = 'service', values = { 'tcp/80', 'x' } } }, refs = { 7 } }",
        );
        assert_eq!(alert.severity, Some(Severity::High));
        assert_eq!(alert.confidence, Some(Confidence::Number(0.5)));
        assert_eq!(alert.completion, Some(Completion::Failed));
        assert_eq!(alert.start_time, Some(Timestamp(3_000_000_005)));
        assert_eq!(alert.end_time, None);
        assert_eq!(alert.method.expect("given").refs, ["cve/1"]);
        let target = &alert.targets.expect("given")[0];
        assert_eq!((target.kind, target.values.len()), (NodeKind::Service, 2));
        assert_eq!(alert.refs, [7]);
    }

    #[test]
    fn missing_lists_and_empty_ones_are_told_apart() {
        assert_eq!(alert("return {}").sources, None);
        assert_eq!(alert("return { sources = {} }").sources, Some(Vec::new()));
    }

    #[test]
    fn text_that_is_no_utf8_does_no_harm() {
        assert_eq!(
            alert(r"return { description = 'a\255b' }")
                .description
                .as_deref(),
            Some("a\u{fffd}b")
        );
    }
}
