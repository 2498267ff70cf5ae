//! ICMP errors and the flows they are about.

#[path = "support/rig.rs"]
mod rig;

use std::path::{Path, PathBuf};
use std::process::Command;

use rig::{Rig, read_capture};
use wero::event::{Profile, Settings};
use wero::lua::Limits;

fn capture(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/icmp-errors-{family}.pcap"))
}

fn printed(rules: &str, family: &str) -> Vec<String> {
    let settings = Settings::new(Profile::Wero);
    let mut rig = Rig::load(rules, &[], settings, Limits::default())
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    let (link, packets) = read_capture(&capture(family));
    rig.started();
    for (id, (time, bytes)) in (1..).zip(&packets) {
        rig.packet(id, *time, link, bytes);
    }
    let said = rig.into_said();
    assert_eq!(said.errors(), Vec::<&str>::new());
    said.printed.lines().map(str::to_owned).collect()
}

const RULE: &str = "
    for _, name in ipairs { 'icmp', 'icmpv6' } do
      require('protocol/' .. name)
      haka.rule { on = haka.dissectors[name].events.receive_packet, eval = function (pkt)
        local flow = pkt.related
        print(flow and flow.name, flow and flow.dstport, pkt.related_direction)
      end }
    end";

#[test]
fn rules_find_the_flow_that_an_error_is_about() {
    let rules =
        format!("require('protocol/tcp_connection') require('protocol/udp_connection') {RULE}");
    for family in ["v4", "v6"] {
        assert_eq!(
            printed(&rules, family),
            [
                "udp_connection 7000 up",
                "tcp_connection 7000 down",
                "nil nil nil"
            ],
            "{family}"
        );
    }
}

#[test]
fn flows_that_rules_do_not_see_have_no_object() {
    for family in ["v4", "v6"] {
        assert_eq!(
            printed(RULE, family),
            ["nil nil up", "nil nil down", "nil nil nil"],
            "{family}"
        );
    }
}

#[test]
fn flows_count_the_errors_about_them() {
    for family in ["v4", "v6"] {
        let output = Command::new(env!("CARGO_BIN_EXE_wero"))
            .args(["flows", "--json"])
            .arg(capture(family))
            .output()
            .expect("wero runs");
        let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let counts: Vec<(String, u64)> = text
            .lines()
            .map(|line| {
                let flow: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
                let protocol = flow["proto"].as_str().unwrap_or_default().to_owned();
                (protocol, flow["icmp_errors"].as_u64().unwrap_or(0))
            })
            .collect();
        let of = |name: &str| -> u64 {
            let own = counts.iter().filter(|(protocol, _)| protocol == name);
            own.map(|(_, count)| count).sum()
        };
        assert_eq!((of("UDP"), of("TCP")), (1, 1), "{text}");
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 2);
    }
}
