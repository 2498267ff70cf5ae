//! The table of what rules may call agrees with the running library: what it
//! names is there, and everything in `haka` is named.

use std::fs;
use std::path::Path;
use std::process::Command;

use wero::proto::api::{self, MemberKind, Object};

/// Where a rule finds an object of each kind.
const PLACES: [(&str, &str); 14] = [
    ("packet", "pkt:parent('packet')"),
    ("ipv4", "pkt:parent('ipv4')"),
    ("tcp", "pkt"),
    ("tcp_connection", "flow"),
    ("vbuffer", "pkt.payload"),
    ("vbuffer_sub", "pkt.payload:sub()"),
    ("vbuffer_iterator", "pkt.payload:pos()"),
    ("vbuffer_stream", "haka.vbuffer_stream()"),
    ("vbuffer_sub_stream", "haka.vbuffer_sub_stream()"),
    ("addr", "pkt.src"),
    ("network", "ipv4.network('10.0.0.0/8')"),
    ("time", "haka.network_time()"),
    ("protocol.ipv4", "ipv4"),
    ("haka.log", "haka.log"),
];

/// What a rule prints on the first packet of a connection.
fn printed(body: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let rule = folder.path().join("rule.lua");
    let source = format!(
        "local ipv4 = require('protocol/ipv4') require('protocol/tcp_connection')
         haka.rule {{ on = haka.dissectors.tcp_connection.events.new_connection,
         eval = function (flow, pkt) if pkt.ttl then {body} end haka.exit() end }}"
    );
    fs::write(&rule, source).expect("writable");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(env!("CARGO_BIN_EXE_wero"))
        .arg("replay")
        .args([rule, root.join("sample/port-filter/input.pcap")])
        .output()
        .expect("wero runs");
    assert!(run.status.success());
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(!text.contains("error "), "{text}");
    text.lines().map(str::to_owned).collect()
}

fn own_names(object: &Object) -> Vec<&'static str> {
    let members = object.members.iter().map(|member| member.name);
    let fields = object.fields().iter().map(|field| field.name);
    members
        .chain(fields.filter(|name| !name.contains('.')))
        .collect()
}

#[test]
fn what_is_named_is_there() {
    let mut body = String::new();
    for (name, place) in PLACES {
        let object = api::object(name).expect("it stands in the table");
        for member in own_names(object) {
            body += &format!(
                "do local ok, what = pcall(function () return ({place})['{member}'] end)
                 if not ok then print('{name}.{member}', what) end end\n"
            );
        }
        for member in object.members {
            if matches!(member.kind, MemberKind::Property { .. }) {
                continue;
            }
            body += &format!(
                "if type(({place})['{0}']) ~= 'function' then print('{name}.{0}', 'no function') end\n",
                member.name
            );
        }
    }
    assert_eq!(printed(&body), [""; 0]);
}

#[test]
fn everything_in_haka_is_named() {
    let haka = api::object("haka").expect("it stands in the table");
    let known = api::names(haka);
    let found = printed("for name in sorted_pairs(haka) do print(name) end");
    assert!(found.len() > 30, "{found:?}");
    let unknown: Vec<&String> = found
        .iter()
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "add to src/proto/api/haka.rs: {unknown:?}"
    );
}
