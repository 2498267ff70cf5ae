//! Judging: the flows that `wero flows --json` reports against the answers.
//!
//! A stream is found by its two ends. Where a capture reuses them, streams
//! and flows are paired in order, or by first frame if their numbers differ.
//! Which end opened the connection is not judged, only each end's bytes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::oracle::{Answer, Digest, Outcome, Stream};

/// The fields of a line of `wero flows --json` that matter here.
#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    pub proto: String,
    src_ip: IpAddr,
    dest_ip: IpAddr,
    #[serde(default)]
    src_port: u16,
    #[serde(default)]
    dest_port: u16,
    first_frame: u64,
    to_server: Side,
    to_client: Side,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Side {
    #[serde(default)]
    stream: Reassembled,
}

/// The `stream` object of a direction.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Reassembled {
    pub state: String,
    len: Option<u64>,
    sha256: Option<String>,
    prefix_len: Option<u64>,
    prefix_sha256: Option<String>,
}

/// What was judged, in one capture or all of them.
#[derive(Debug, Default)]
pub struct Score {
    pub judged: usize,
    pub equal: usize,
    pub differences: Vec<Difference>,
}

#[derive(Debug)]
pub struct Difference {
    pub stream: u32,
    pub direction: &'static str,
    pub expected: String,
    pub got: String,
}

impl Score {
    /// Compares one capture's flows with its answers.
    pub fn of(streams: &[Stream], flows: &[Flow]) -> Self {
        let mut score = Self::default();
        for (stream, flow) in pair(streams, flows) {
            let to_server = flow.map(|flow| flow.stream_to(stream.server));
            let to_client = flow.map(|flow| flow.stream_to(stream.client));
            score.count(stream.number, "to_server", &stream.to_server, to_server);
            score.count(stream.number, "to_client", &stream.to_client, to_client);
        }
        score
    }

    fn count(
        &mut self,
        stream: u32,
        direction: &'static str,
        answer: &Answer,
        got: Option<&Reassembled>,
    ) {
        let nothing = Reassembled::default();
        let reassembled = got.unwrap_or(&nothing);
        let expected = match answer {
            Answer::NotJudged => return,
            // Empty directions are easy: they count only when wrong.
            Answer::Nothing if reassembled.is_empty() => return,
            Answer::Nothing => "none".to_owned(),
            Answer::OneOf(outcomes) if outcomes.iter().any(|outcome| reassembled.is(outcome)) => {
                self.judged += 1;
                self.equal += 1;
                return;
            }
            Answer::OneOf(outcomes) => outcomes
                .iter()
                .map(describe)
                .collect::<Vec<_>>()
                .join(" or "),
        };
        let got = got.map_or_else(|| "no flow".to_owned(), Reassembled::describe);
        self.judged += 1;
        self.differences.push(Difference {
            stream,
            direction,
            expected,
            got,
        });
    }
}

impl Flow {
    /// Every stream that this flow carries towards `end`.
    pub fn stream_to(&self, end: SocketAddr) -> &Reassembled {
        if SocketAddr::new(self.dest_ip, self.dest_port) == end {
            &self.to_server.stream
        } else {
            &self.to_client.stream
        }
    }

    pub fn directions(&self) -> [&Reassembled; 2] {
        [&self.to_server.stream, &self.to_client.stream]
    }

    fn ends(&self) -> Ends {
        ends(
            SocketAddr::new(self.src_ip, self.src_port),
            SocketAddr::new(self.dest_ip, self.dest_port),
        )
    }
}

impl Reassembled {
    pub fn is_empty(&self) -> bool {
        matches!(self.state.as_str(), "" | "none") || (self.len == Some(0) && self.state != "gap")
    }

    fn is(&self, outcome: &Outcome) -> bool {
        let same = |digest: &Digest, len: Option<u64>, sha256: Option<&String>| {
            len == Some(digest.len) && sha256 == Some(&digest.sha256)
        };
        match outcome {
            Outcome::Bytes(digest) => same(digest, self.len, self.sha256.as_ref()),
            Outcome::Prefix(digest) => same(digest, self.prefix_len, self.prefix_sha256.as_ref()),
            Outcome::Gap => self.state == "gap",
            Outcome::Empty => self.is_empty(),
        }
    }

    fn describe(&self) -> String {
        if self.is_empty() {
            return "none".to_owned();
        }
        let (len, sha256) = match self.len {
            Some(_) => (self.len, &self.sha256),
            None => (self.prefix_len, &self.prefix_sha256),
        };
        let len = len.map_or_else(|| "?".to_owned(), |len| len.to_string());
        format!(
            "{} {len} {}",
            self.state,
            short(sha256.as_deref().unwrap_or("?"))
        )
    }
}

type Ends = (SocketAddr, SocketAddr);

fn ends(one: SocketAddr, other: SocketAddr) -> Ends {
    (one.min(other), one.max(other))
}

fn pair<'a>(streams: &'a [Stream], flows: &'a [Flow]) -> Vec<(&'a Stream, Option<&'a Flow>)> {
    let mut flows_by_ends: BTreeMap<Ends, Vec<&Flow>> = BTreeMap::new();
    for flow in flows.iter().filter(|flow| flow.proto == "TCP") {
        flows_by_ends.entry(flow.ends()).or_default().push(flow);
    }
    let mut streams_by_ends: BTreeMap<Ends, Vec<&Stream>> = BTreeMap::new();
    for stream in streams {
        streams_by_ends
            .entry(ends(stream.client, stream.server))
            .or_default()
            .push(stream);
    }
    let mut pairs = Vec::new();
    for (ends, streams) in streams_by_ends {
        let flows = flows_by_ends.remove(&ends).unwrap_or_default();
        if streams.len() == flows.len() {
            pairs.extend(streams.into_iter().zip(flows.into_iter().map(Some)));
            continue;
        }
        for stream in streams {
            let flow = flows
                .iter()
                .find(|flow| flow.first_frame == stream.first_frame);
            pairs.push((stream, flow.copied()));
        }
    }
    pairs.sort_by_key(|(stream, _)| stream.number);
    pairs
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Bytes(digest) => format!("{} {}", digest.len, short(&digest.sha256)),
        Outcome::Prefix(digest) => format!("gap after {} {}", digest.len, short(&digest.sha256)),
        Outcome::Gap => "gap".to_owned(),
        Outcome::Empty => "none".to_owned(),
    }
}

/// Enough of a hash to tell two of them apart in a table.
fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::super::oracle;
    use super::*;

    const ENDS: &str = "10.0.0.1 1000 10.0.0.2 80 1 1 fin 6 4";

    fn streams(rows: &[&str]) -> Vec<Stream> {
        oracle::parse("some.pcap", &rows.join("\n").replace(' ', "\t")).unwrap()
    }

    fn flow(src: &str, dst: &str, first_frame: u64, to_server: &str, to_client: &str) -> Flow {
        let (src, dst): (SocketAddr, SocketAddr) = (src.parse().unwrap(), dst.parse().unwrap());
        let line = format!(
            r#"{{"flow_id":1,"proto":"TCP","src_ip":"{}","src_port":{},"dest_ip":"{}","dest_port":{},
               "first_frame":{first_frame},"ended":"fin",
               "to_server":{{"packets":6,"bytes":5,"stream":{to_server}}},
               "to_client":{{"packets":4,"bytes":0,"stream":{to_client}}}}}"#,
            src.ip(),
            src.port(),
            dst.ip(),
            dst.port(),
        );
        serde_json::from_str(&line).unwrap()
    }

    const CLIENT: &str = "10.0.0.1:1000";
    const SERVER: &str = "10.0.0.2:80";
    const NONE: &str = r#"{"state":"none"}"#;
    const FIVE_AA: &str = r#"{"state":"ok","len":5,"sha256":"aa"}"#;
    const SIX_BB: &str = r#"{"state":"ok","len":6,"sha256":"bb"}"#;

    #[test]
    fn equal_bytes_are_equal() {
        let answers = streams(&[&format!(
            "tcp 0 1 {ENDS} ok 5 aa 5 aa same none 0 - - - na -"
        )]);
        let score = Score::of(&answers, &[flow(CLIENT, SERVER, 1, FIVE_AA, NONE)]);
        assert_eq!(
            (score.judged, score.equal),
            (1, 1),
            "the empty direction does not count"
        );
    }

    #[test]
    fn other_length_or_other_hash_is_a_difference_that_names_both() {
        let answers = streams(&[&format!(
            "tcp 4 1 {ENDS} ok 5 aa 5 aa same ok 6 cc 6 cc same -"
        )]);
        let score = Score::of(&answers, &[flow(CLIENT, SERVER, 1, SIX_BB, SIX_BB)]);
        assert_eq!((score.judged, score.equal), (2, 0));
        let first = &score.differences[0];
        assert_eq!((first.stream, first.direction), (4, "to_server"));
        assert_eq!(
            (first.expected.as_str(), first.got.as_str()),
            ("5 aa", "ok 6 bb")
        );
    }

    #[test]
    fn the_opener_may_be_seen_the_other_way_round() {
        let answers = streams(&[&format!(
            "tcp 0 1 {ENDS} ok 5 aa 5 aa same ok 6 bb 6 bb same -"
        )]);
        let score = Score::of(&answers, &[flow(SERVER, CLIENT, 1, SIX_BB, FIVE_AA)]);
        assert_eq!((score.judged, score.equal), (2, 2));
    }

    #[test]
    fn a_missing_flow_is_a_difference_unless_all_its_checksums_are_wrong() {
        let row = |flags| format!("tcp 0 1 {ENDS} ok 5 aa 5 aa same none 0 - - - na {flags}");
        let missing = Score::of(&streams(&[&row("-")]), &[]);
        assert_eq!((missing.judged, missing.equal), (1, 0));
        assert_eq!(missing.differences[0].got, "no flow");
        let dropped = Score::of(&streams(&[&row("nobad_c=none")]), &[]);
        assert_eq!((dropped.judged, dropped.equal), (1, 1));
    }

    #[test]
    fn invented_bytes_are_a_difference() {
        let answers = streams(&[&format!("tcp 0 1 {ENDS} none 0 - - - na none 0 - - - na -")]);
        let score = Score::of(&answers, &[flow(CLIENT, SERVER, 1, NONE, FIVE_AA)]);
        assert_eq!((score.judged, score.equal), (1, 0));
    }

    #[test]
    fn a_gap_is_compared_by_prefix() {
        let answers = streams(&[&format!(
            "tcp 0 1 {ENDS} gap - - 3 cc gap none 0 - - - na -"
        )]);
        let gap = r#"{"state":"gap","prefix_len":3,"prefix_sha256":"cc","missing":7}"#;
        assert_eq!(
            Score::of(&answers, &[flow(CLIENT, SERVER, 1, gap, NONE)]).equal,
            1
        );
        let shorter = r#"{"state":"gap","prefix_len":2,"prefix_sha256":"dd","missing":8}"#;
        assert_eq!(
            Score::of(&answers, &[flow(CLIENT, SERVER, 1, shorter, NONE)]).equal,
            0
        );
    }

    #[test]
    fn reused_ends_are_paired_in_order() {
        let answers = streams(&[
            &format!("tcp 0 1 {ENDS} ok 5 aa 5 aa same none 0 - - - na -"),
            &format!("tcp 1 9 {ENDS} ok 6 bb 6 bb same none 0 - - - na -"),
        ]);
        let flows = [
            flow(CLIENT, SERVER, 2, FIVE_AA, NONE),
            flow(CLIENT, SERVER, 10, SIX_BB, NONE),
        ];
        assert_eq!(Score::of(&answers, &flows).equal, 2);
    }

    #[test]
    fn reused_ends_in_other_numbers_are_paired_by_first_frame() {
        let answers = streams(&[&format!(
            "tcp 1 9 {ENDS} ok 6 bb 6 bb same none 0 - - - na -"
        )]);
        let flows = [
            flow(CLIENT, SERVER, 1, FIVE_AA, NONE),
            flow(CLIENT, SERVER, 9, SIX_BB, NONE),
        ];
        assert_eq!(Score::of(&answers, &flows).equal, 1);
    }

    #[test]
    fn flows_of_other_protocols_need_no_ports_and_are_passed_over() {
        let line = r#"{"proto":"ICMP","src_ip":"10.0.0.1","dest_ip":"10.0.0.2","first_frame":1,
                       "to_server":{"packets":1,"bytes":8},"to_client":{"packets":0,"bytes":0}}"#;
        let icmp: Flow = serde_json::from_str(line).unwrap();
        let answers = streams(&[&format!(
            "tcp 0 1 {ENDS} ok 5 aa 5 aa same none 0 - - - na -"
        )]);
        assert_eq!(Score::of(&answers, &[icmp]).differences[0].got, "no flow");
    }
}
