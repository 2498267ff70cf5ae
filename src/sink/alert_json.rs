//! Alerts as JSON lines, in the frame of Suricata's EVE format.
//!
//! The outer keys are EVE's, so that its readers find address, port and flow
//! where they look for them; the `alert` object is Wero's own, with the
//! fields of [`Alert`]. What is not known is left out rather than null.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Serialize;

use super::alert_text::shortest;
use super::ctime::rfc3339_micros;
use crate::alert::{Alert, Confidence, Method, Node};
use crate::time::Timestamp;

/// One line of JSON for `alert`, without a line end.
pub fn alert_json(alert: &Alert) -> String {
    serde_json::to_string(&Event::of(alert)).expect("strings and numbers always serialise")
}

/// EVE's name of an IP protocol: the usual one, or three digits.
pub fn protocol_name(protocol: u8) -> Cow<'static, str> {
    Cow::Borrowed(match protocol {
        1 => "ICMP",
        2 => "IGMP",
        6 => "TCP",
        17 => "UDP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "IPv6-ICMP",
        132 => "SCTP",
        other => return Cow::Owned(format!("{other:03}")),
    })
}

#[derive(Serialize)]
struct Event<'a> {
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pcap_cnt: Option<u64>,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<Cow<'static, str>>,
    alert: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    id: u64,
    /// Only where it is one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    update: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<MethodBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Vec<NodeBody<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<NodeBody<'a>>>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    refs: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(Cow<'static, str>),
}

#[derive(Serialize)]
struct MethodBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    refs: &'a [String],
}

#[derive(Serialize)]
struct NodeBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    values: &'a [String],
}

impl<'a> Event<'a> {
    fn of(alert: &'a Alert) -> Event<'a> {
        let flow = alert.flow;
        Event {
            timestamp: rfc3339_micros(alert.time),
            flow_id: flow.map(|flow| flow.id),
            pcap_cnt: alert.packet,
            event_type: "alert",
            src_ip: flow.map(|flow| flow.source),
            src_port: flow.and_then(|flow| flow.source_port),
            dest_ip: flow.map(|flow| flow.destination),
            dest_port: flow.and_then(|flow| flow.destination_port),
            proto: flow.map(|flow| protocol_name(flow.protocol)),
            alert: Body::of(alert),
        }
    }
}

impl<'a> Body<'a> {
    fn of(alert: &'a Alert) -> Body<'a> {
        Body {
            id: alert.id,
            update: alert.update,
            start_time: moment(alert.start_time),
            end_time: moment(alert.end_time),
            severity: alert.severity.map(|severity| severity.name()),
            confidence: alert.confidence.map(Value::of),
            completion: alert.completion.map(|completion| completion.name()),
            description: alert.description.as_deref(),
            method: alert
                .method
                .as_ref()
                .filter(|method| !method.is_empty())
                .map(MethodBody::of),
            sources: alert.sources.as_deref().map(NodeBody::all),
            targets: alert.targets.as_deref().map(NodeBody::all),
            refs: &alert.refs,
            rule: alert.rule.as_deref(),
        }
    }
}

impl Value {
    fn of(confidence: Confidence) -> Value {
        match confidence {
            Confidence::Level(level) => Value::Text(Cow::Borrowed(level.name())),
            Confidence::Number(number) if number.is_finite() => Value::Number(number),
            // JSON has no number for these.
            Confidence::Number(number) => Value::Text(Cow::Owned(shortest(number))),
        }
    }
}

impl<'a> MethodBody<'a> {
    fn of(method: &'a Method) -> MethodBody<'a> {
        MethodBody {
            description: method.description.as_deref(),
            refs: &method.refs,
        }
    }
}

impl<'a> NodeBody<'a> {
    fn all(nodes: &'a [Node]) -> Vec<NodeBody<'a>> {
        let body = |node: &'a Node| NodeBody {
            kind: node.kind.name(),
            values: &node.values,
        };
        nodes.iter().map(body).collect()
    }
}

fn moment(time: Option<Timestamp>) -> Option<String> {
    time.filter(|&time| time != Timestamp(0))
        .map(rfc3339_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Completion, FlowContext, NodeKind, Severity};

    #[test]
    fn what_is_unknown_is_left_out() {
        let alert = Alert {
            id: 9,
            time: Timestamp::new(0, 1_500),
            ..Alert::default()
        };
        assert_eq!(
            alert_json(&alert),
            r#"{"timestamp":"1970-01-01T00:00:00.000001+0000","event_type":"alert","alert":{"id":9}}"#
        );
    }

    #[test]
    fn everything_known_is_said() {
        let alert = Alert {
            id: 9,
            update: true,
            time: Timestamp::new(1_795_248_449, 123_456_789),
            start_time: Some(Timestamp::new(1_795_248_448, 0)),
            end_time: Some(Timestamp(0)),
            severity: Some(Severity::High),
            confidence: Some(Confidence::Number(0.75)),
            completion: Some(Completion::Successful),
            description: Some("a \"quoted\"\nline".into()),
            method: Some(Method {
                description: None,
                refs: vec!["cwe/444".into()],
            }),
            sources: Some(vec![Node {
                kind: NodeKind::Address,
                values: vec!["2001:db8::1".into(), "host".into()],
            }]),
            targets: Some(vec![]),
            refs: vec![1, 2],
            packet: Some(77),
            flow: Some(FlowContext {
                id: 5,
                source: "2001:db8::1".parse().expect("an address"),
                destination: "2001:db8::2".parse().expect("an address"),
                source_port: Some(1_025),
                destination_port: Some(80),
                protocol: 6,
            }),
            rule: Some("http.lua:12".into()),
        };
        let expected = concat!(
            r#"{"timestamp":"2026-11-21T08:07:29.123456+0000","flow_id":5,"pcap_cnt":77,"#,
            r#""event_type":"alert","src_ip":"2001:db8::1","src_port":1025,"#,
            r#""dest_ip":"2001:db8::2","dest_port":80,"proto":"TCP","alert":{"id":9,"#,
            r#""update":true,"start_time":"2026-11-21T08:07:28.000000+0000","#,
            r#""severity":"high","confidence":0.75,"completion":"successful","#,
            r#""description":"a \"quoted\"\nline","method":{"refs":["cwe/444"]},"#,
            r#""sources":[{"type":"address","values":["2001:db8::1","host"]}],"#,
            r#""targets":[],"refs":[1,2],"rule":"http.lua:12"}}"#
        );
        assert_eq!(alert_json(&alert), expected);
    }

    #[test]
    fn confidence_is_a_word_where_json_has_no_number() {
        let confidence = |confidence| {
            let alert = Alert {
                confidence: Some(confidence),
                ..Alert::default()
            };
            let line: serde_json::Value = serde_json::from_str(&alert_json(&alert)).expect("JSON");
            line["alert"]["confidence"].clone()
        };
        assert_eq!(confidence(Confidence::Level(Severity::Low)), "low");
        assert_eq!(confidence(Confidence::Number(f64::INFINITY)), "inf");
        assert_eq!(confidence(Confidence::Number(7.0)), 7.0);
    }

    #[test]
    fn protocols_without_a_name_are_numbers() {
        assert_eq!(protocol_name(58), "IPv6-ICMP");
        assert_eq!(protocol_name(9), "009");
    }
}
