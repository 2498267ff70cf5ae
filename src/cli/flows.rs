//! `wero flows`: every flow of a capture, as a table or as JSON lines.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use serde::Serialize;

use super::Failure;
use super::options::ChecksumMode;
use super::traffic::Traffic;
use super::views::{Files, Moment, Selection, end_name, has_ports, ip, protocol_name, written};
use crate::analysis::{Collector, Flow, Side, Stream, StreamState, Witness};
use crate::sink::rfc3339_micros;

/// List the flows of captures, or of an interface.
///
/// One line for each flow, in the order of the first packets; flows inside
/// tunnels are flows of their own. Several captures are one run: connections
/// go on from one to the next. `-` is standard input. With `--interface` each
/// flow is printed as it ends.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    traffic: Traffic,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Segments with wrong checksums: leave them out (unless a sender's first
    /// ones all are wrong), leave them out strictly, or take them too.
    #[arg(long, value_enum, default_value_t = ChecksumMode::Auto)]
    checksums: ChecksumMode,
    #[command(flatten)]
    selection: Selection,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let collector = match arguments.traffic.is_live() {
        true => Collector::as_they_end(),
        false => Collector::default(),
    };
    let collector = Rc::new(RefCell::new(collector));
    let observer = Box::new(Witness::new(collector.clone()));
    let mut list = List::new(arguments);
    let files = list.files.clone();
    let traffic = &arguments.traffic;
    traffic
        .observe(&files, arguments.checksums, observer, |moment| {
            let printed = match moment {
                Moment::Begin => list.head(),
                Moment::Frame => list.print_ended(&collector),
                Moment::End => {
                    collector.borrow_mut().end_all();
                    list.print_ended(&collector)
                }
            };
            match printed {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => ControlFlow::Break(Some(failure)),
            }
        })
        .and_then(|()| list.flush())
}

/// Prints flows as they end.
struct List<'a> {
    out: BufWriter<io::Stdout>,
    json: bool,
    selection: &'a Selection,
    /// Somebody may be waiting for each line.
    live: bool,
    files: Rc<RefCell<Files>>,
}

impl<'a> List<'a> {
    fn new(arguments: &'a Arguments) -> List<'a> {
        List {
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
            json: arguments.json,
            selection: &arguments.selection,
            live: arguments.traffic.is_live(),
            files: Files::shared(&arguments.traffic.captures),
        }
    }

    fn head(&mut self) -> Result<(), Failure> {
        match self.json {
            true => Ok(()),
            false => self.line(&row([
                "flow",
                "proto",
                "source",
                "destination",
                "app",
                "packets",
                "bytes",
                "state",
                "ended",
                "history",
            ])),
        }
    }

    fn print_ended(&mut self, collector: &RefCell<Collector>) -> Result<(), Failure> {
        loop {
            let Some(flow) = collector.borrow_mut().take_ended() else {
                return match self.live && !self.out.buffer().is_empty() {
                    true => self.flush(),
                    false => Ok(()),
                };
            };
            let ends = [flow.source, flow.destination];
            let wanted = self.selection.has_flow(flow.id, ends)
                && self.selection.has_protocol(flow.protocol, flow.application);
            if !wanted {
                continue;
            }
            let line = if self.json {
                self.json_line(&flow)
            } else {
                table_line(&flow)
            };
            self.line(&line)?;
        }
    }

    fn json_line(&self, flow: &Flow) -> String {
        let files = self.files.borrow();
        let (first_frame, capture) = files.place(flow.first_frame);
        let line = Line::of(flow, first_frame, capture);
        serde_json::to_string(&line).expect("strings and numbers always serialise")
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        written(writeln!(self.out, "{line}"))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        written(self.out.flush())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    flow_id: u64,
    proto: String,
    src_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    vlan: &'a [u16],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tunnel: Vec<&'static str>,
    /// Only where there are several captures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pcap_filename: Option<String>,
    first_frame: u64,
    start: String,
    end: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    ended: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    history: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    icmp_errors: u64,
    to_server: SideLine,
    to_client: SideLine,
}

#[derive(Serialize)]
struct SideLine {
    packets: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamLine>,
}

#[derive(Default, Serialize)]
struct StreamLine {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_len: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl<'a> Line<'a> {
    fn of(flow: &'a Flow, first_frame: u64, capture: Option<&Path>) -> Line<'a> {
        let ports = has_ports(flow.protocol);
        Line {
            flow_id: flow.id,
            proto: protocol_name(flow.protocol),
            src_ip: ip(flow.source.addr),
            src_port: ports.then_some(flow.source.port),
            dest_ip: ip(flow.destination.addr),
            dest_port: ports.then_some(flow.destination.port),
            vlan: &flow.vlans,
            tunnel: flow.tunnels.iter().map(|kind| kind.name()).collect(),
            pcap_filename: capture.map(|path| path.display().to_string()),
            first_frame,
            start: rfc3339_micros(flow.start),
            end: rfc3339_micros(flow.end),
            app_proto: flow.application,
            ended: flow.ended,
            history: &flow.history,
            icmp_errors: flow.icmp_errors,
            to_server: SideLine::of(&flow.to_server),
            to_client: SideLine::of(&flow.to_client),
        }
    }
}

impl SideLine {
    fn of(side: &Side) -> SideLine {
        SideLine {
            packets: side.packets,
            bytes: side.bytes,
            stream: side.stream.as_ref().map(StreamLine::of),
        }
    }
}

impl StreamLine {
    fn of(stream: &Stream) -> StreamLine {
        let (len, sha256) = (Some(stream.len), Some(hexadecimal(&stream.sha256)));
        let state = stream.state.name();
        let missing = (stream.missing > 0).then_some(stream.missing);
        match stream.state {
            StreamState::None => StreamLine {
                state,
                ..StreamLine::default()
            },
            whole if whole.is_whole() => StreamLine {
                state,
                len,
                sha256,
                ..StreamLine::default()
            },
            _ => StreamLine {
                state,
                prefix_len: len,
                prefix_sha256: sha256,
                missing,
                ..StreamLine::default()
            },
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn table_line(flow: &Flow) -> String {
    let both = |to_server: String, to_client: String| format!("{to_server}/{to_client}");
    let state = |side: &Side| {
        side.stream
            .as_ref()
            .map_or("-", |stream| stream.state.name())
            .to_owned()
    };
    let (up, down) = (&flow.to_server, &flow.to_client);
    let wrapped: Vec<_> = flow.tunnels.iter().map(|kind| kind.name()).collect();
    let mut line = row([
        &flow.id.to_string(),
        &protocol_name(flow.protocol),
        &end_name(flow.protocol, flow.source),
        &end_name(flow.protocol, flow.destination),
        flow.application.unwrap_or("-"),
        &both(up.packets.to_string(), down.packets.to_string()),
        &both(up.bytes.to_string(), down.bytes.to_string()),
        &both(state(up), state(down)),
        flow.ended,
        &flow.history,
    ]);
    for (name, list) in [
        ("vlan", flow.vlans.iter().map(u16::to_string).collect()),
        (
            "in",
            wrapped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ),
    ] {
        if !list.is_empty() {
            let _ = write!(line, "  {name} {}", list.join(","));
        }
    }
    if flow.icmp_errors > 0 {
        let _ = write!(line, "  icmp-errors {}", flow.icmp_errors);
    }
    line
}

/// The columns of the table. Rows are printed as flows end, so widths are
/// those of common values; longer ones push the rest to the right.
fn row(cells: [&str; 10]) -> String {
    const WIDTHS: [usize; 10] = [6, 6, 22, 22, 6, 11, 17, 11, 7, 0];
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        let _ = write!(line, "{cell:<width$} ");
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::addr::Addr;
    use crate::analysis::Endpoint;
    use crate::packet::decode::protocol;
    use crate::time::Timestamp;

    fn flow() -> Flow {
        let stream = |state, missing| {
            Some(Stream {
                state,
                len: 5,
                sha256: [0xab; 32],
                missing,
            })
        };
        Flow {
            id: 3,
            protocol: protocol::TCP,
            source: Endpoint {
                addr: Addr::v4([10, 0, 0, 1]),
                port: 4000,
            },
            destination: Endpoint {
                addr: Addr::v4([10, 0, 0, 2]),
                port: 80,
            },
            vlans: smallvec![],
            tunnels: smallvec![],
            first_frame: 12,
            start: Timestamp::new(1_763_712_449, 123_456_000),
            end: Timestamp::new(1_763_712_450, 0),
            application: Some("http"),
            ended: "fin",
            history: "ShADadFf".to_owned(),
            icmp_errors: 0,
            to_server: Side {
                packets: 4,
                bytes: 5,
                stream: stream(StreamState::Ok, 0),
            },
            to_client: Side {
                packets: 3,
                bytes: 9,
                stream: stream(StreamState::Gap, 4),
            },
        }
    }

    fn json(flow: &Flow) -> serde_json::Value {
        serde_json::to_value(Line::of(flow, flow.first_frame, None)).expect("serialises")
    }

    #[test]
    fn a_line_has_the_fields_of_the_format() {
        let line = json(&flow());
        assert_eq!(
            (&line["proto"], &line["src_ip"], &line["dest_port"]),
            (&"TCP".into(), &"10.0.0.1".into(), &80.into())
        );
        assert_eq!(line["start"], "2025-11-21T08:07:29.123456+0000");
        assert_eq!(line["to_server"]["stream"]["sha256"], "ab".repeat(32));
        let gap = &line["to_client"]["stream"];
        assert_eq!(
            (&gap["prefix_len"], &gap["missing"]),
            (&5.into(), &4.into())
        );
        assert!(gap.get("len").is_none() && gap.get("sha256").is_none());
    }

    #[test]
    fn what_does_not_apply_is_absent() {
        let mut icmp = Flow {
            protocol: protocol::ICMPV6,
            application: None,
            history: String::new(),
            ..flow()
        };
        icmp.to_server.stream = None;
        let line = json(&icmp);
        assert_eq!(line["proto"], "ICMPv6");
        for absent in [
            "src_port",
            "dest_port",
            "vlan",
            "tunnel",
            "app_proto",
            "history",
            "icmp_errors",
            "pcap_filename",
        ] {
            assert!(line.get(absent).is_none(), "{absent}");
        }
        assert!(line["to_server"].get("stream").is_none());
        assert_eq!(
            json(&Flow {
                protocol: 132,
                ..flow()
            })["proto"],
            "132"
        );
    }

    #[test]
    fn vlans_and_tunnels_are_lists() {
        let wrapped = Flow {
            vlans: smallvec![5, 9],
            tunnels: smallvec![crate::packet::decode::TunnelKind::Gre],
            ..flow()
        };
        let line = json(&wrapped);
        assert_eq!(line["vlan"], serde_json::json!([5, 9]));
        assert_eq!(line["tunnel"], serde_json::json!(["gre"]));
        assert!(
            table_line(&wrapped).ends_with("vlan 5,9  in gre"),
            "{}",
            table_line(&wrapped)
        );
    }
}
