//! Answers: the `tcp` rows of `oracle/NAME.tsv`, as `oracle/ROWS.txt` lays
//! them out.
//!
//! Other kinds of rows are passed over. A row that does not parse is an error
//! and not passed over, lest a changed layout judge nothing.

use std::net::{IpAddr, SocketAddr};

/// One TCP stream with an answer for each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub number: u32,
    pub first_frame: u64,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub to_server: Answer,
    pub to_client: Answer,
}

/// What a direction should come out as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Any of these; the first one is the answer proper, another stands for a
    /// reader that drops segments with a wrong checksum.
    OneOf(Vec<Outcome>),
    /// No payload was seen: nothing may be invented.
    Nothing,
    /// Policy, or the sources of the answer disagree.
    NotJudged,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Bytes(Digest),
    /// Bytes are missing after these.
    Prefix(Digest),
    /// Bytes are missing; where is not told.
    Gap,
    Empty,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    pub len: u64,
    pub sha256: String,
}

/// Streams where tshark contradicts itself.
const CONTRADICTIONS: [(&str, &[u32]); 2] = [
    ("mercury--dns_packet.capture2.pcap", &[124, 125, 151]),
    ("nDPI--default_wechat.pcap", &[55]),
];

/// The streams of an oracle file for the capture called `capture`.
pub fn parse(capture: &str, text: &str) -> Result<Vec<Stream>, String> {
    let contradictions = CONTRADICTIONS
        .iter()
        .find(|(name, _)| *name == capture)
        .map_or(&[][..], |(_, numbers)| numbers);
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("tcp\t"))
        .map(|(index, line)| {
            let mut stream =
                parse_row(line).map_err(|what| format!("{capture} row {}: {what}", index + 1))?;
            if contradictions.contains(&stream.number) {
                stream.to_server = Answer::NotJudged;
                stream.to_client = Answer::NotJudged;
            }
            Ok(stream)
        })
        .collect()
}

fn parse_row(line: &str) -> Result<Stream, String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [
        _,
        number,
        first_frame,
        client,
        client_port,
        server,
        server_port,
        _,
        _,
        _,
        _,
        _,
        rest @ ..,
    ] = &columns[..]
    else {
        return Err("too few columns".to_owned());
    };
    let (Some(to_server), Some(to_client), Some(flags)) =
        (rest.get(..6), rest.get(6..12), rest.get(12))
    else {
        return Err("too few columns for two directions".to_owned());
    };
    Ok(Stream {
        number: parsed(number)?,
        first_frame: parsed(first_frame)?,
        client: socket(client, client_port)?,
        server: socket(server, server_port)?,
        to_server: answer(to_server, &Flags::of(flags, 'c'))?,
        to_client: answer(to_client, &Flags::of(flags, 's'))?,
    })
}

/// Columns `state len sha256 prefix_len prefix_sha256 tshark` of a direction.
fn answer(columns: &[&str], flags: &Flags) -> Result<Answer, String> {
    let [state, len, sha256, prefix_len, prefix_sha256, tshark] = columns else {
        return Err("a direction has six columns".to_owned());
    };
    if flags.is_policy {
        return Ok(Answer::NotJudged);
    }
    let proper = match (*state, *tshark) {
        ("none", _) => return Ok(Answer::Nothing),
        ("ok" | "mid", "same") | ("conflict", _) => Outcome::Bytes(digest(len, sha256)?),
        ("gap", _) => Outcome::Prefix(digest(prefix_len, prefix_sha256)?),
        ("ok" | "mid" | "snap" | "multi", _) => return Ok(Answer::NotJudged),
        _ => return Err(format!("unknown state {state}")),
    };
    let mut outcomes = vec![proper];
    outcomes.extend(flags.without_bad_checksums()?);
    Ok(Answer::OneOf(outcomes))
}

/// The flags of one direction.
struct Flags<'a> {
    /// Data that an inline engine may rightly treat unlike tshark: outside
    /// the window, after RST, of several connections in one stream.
    is_policy: bool,
    nobad: Option<&'a str>,
}

impl<'a> Flags<'a> {
    fn of(list: &'a str, side: char) -> Self {
        let mut flags = Self {
            is_policy: false,
            nobad: None,
        };
        for flag in list.split(',') {
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            match name.rsplit_once('_') {
                Some(("oow" | "afterrst", of)) if of.starts_with(side) => flags.is_policy = true,
                Some(("nobad", of)) if of.starts_with(side) => flags.nobad = Some(value),
                _ if name.starts_with("multi") => flags.is_policy = true,
                _ => {}
            }
        }
        flags
    }

    fn without_bad_checksums(&self) -> Result<Option<Outcome>, String> {
        let Some(value) = self.nobad else {
            return Ok(None);
        };
        let mut parts = value.split(':');
        let outcome = match (parts.next(), parts.next(), parts.next()) {
            (Some("none"), ..) => Outcome::Empty,
            (Some("gap" | "snap"), ..) => Outcome::Gap,
            (Some(_), Some(len), Some(sha256)) => Outcome::Bytes(digest(len, sha256)?),
            _ => return Err(format!("unknown nobad value {value}")),
        };
        Ok(Some(outcome))
    }
}

fn digest(len: &str, sha256: &str) -> Result<Digest, String> {
    Ok(Digest {
        len: parsed(len)?,
        sha256: sha256.to_owned(),
    })
}

fn socket(address: &str, port: &str) -> Result<SocketAddr, String> {
    Ok(SocketAddr::new(parsed::<IpAddr>(address)?, parsed(port)?))
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("cannot read {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: &str = "tcp\t7\t3\t10.0.0.1\t1000\t10.0.0.2\t80\t1\t1\tfin\t6\t4";

    fn row(to_server: &str, to_client: &str, flags: &str) -> Stream {
        let text = format!("{ENDS}\t{to_server}\t{to_client}\t{flags}").replace(' ', "\t");
        parse("some.pcap", &text).unwrap().remove(0)
    }

    fn bytes(len: u64, sha256: &str) -> Outcome {
        Outcome::Bytes(Digest {
            len,
            sha256: sha256.to_owned(),
        })
    }

    #[test]
    fn a_row_gives_ends_and_both_directions() {
        let stream = row("ok 5 aa 5 aa same", "none 0 - - - na", "-");
        assert_eq!((stream.number, stream.first_frame), (7, 3));
        assert_eq!(stream.client, "10.0.0.1:1000".parse().unwrap());
        assert_eq!(stream.server, "10.0.0.2:80".parse().unwrap());
        assert_eq!(stream.to_server, Answer::OneOf(vec![bytes(5, "aa")]));
        assert_eq!(stream.to_client, Answer::Nothing);
    }

    #[test]
    fn a_gap_is_judged_by_its_prefix_whatever_tshark_says() {
        let stream = row("gap - - 3 bb gap", "gap - - 4 cc prefix", "missing_c=9");
        let prefix = Outcome::Prefix(Digest {
            len: 3,
            sha256: "bb".to_owned(),
        });
        assert_eq!(stream.to_server, Answer::OneOf(vec![prefix]));
        assert_ne!(stream.to_client, Answer::NotJudged);
    }

    #[test]
    fn a_conflict_is_judged_by_the_first_bytes_received() {
        let stream = row(
            "conflict 5 aa 5 aa diff:5:bb",
            "none 0 - - - na",
            "conflict_c,last_c=bb",
        );
        assert_eq!(stream.to_server, Answer::OneOf(vec![bytes(5, "aa")]));
    }

    #[test]
    fn an_answer_that_tshark_denies_is_not_judged() {
        let stream = row("mid 1 aa 1 aa diff:0:bb", "mid 2 cc 2 cc gap", "-");
        assert_eq!(stream.to_server, Answer::NotJudged);
        assert_eq!(stream.to_client, Answer::NotJudged);
    }

    #[test]
    fn without_bad_checksums_another_outcome_is_right_too() {
        let stream = row(
            "ok 5 aa 5 aa same",
            "ok 6 bb 6 bb same",
            "badck_c=1,nobad_c=none,nobad_s=mid:2:cc",
        );
        assert_eq!(
            stream.to_server,
            Answer::OneOf(vec![bytes(5, "aa"), Outcome::Empty])
        );
        assert_eq!(
            stream.to_client,
            Answer::OneOf(vec![bytes(6, "bb"), bytes(2, "cc")])
        );
    }

    #[test]
    fn policy_flags_excuse_their_own_direction_only() {
        let stream = row(
            "ok 5 aa 5 aa same",
            "ok 6 bb 6 bb same",
            "afterrst_s,retx_c",
        );
        assert_eq!(stream.to_server, Answer::OneOf(vec![bytes(5, "aa")]));
        assert_eq!(stream.to_client, Answer::NotJudged);
    }

    #[test]
    fn streams_where_tshark_contradicts_itself_are_not_judged() {
        let text = format!("{ENDS}\tok\t5\taa\t5\taa\tsame\tok\t5\taa\t5\taa\tsame\t-")
            .replace("tcp\t7", "tcp\t55");
        let streams = parse("nDPI--default_wechat.pcap", &text).unwrap();
        assert_eq!(streams[0].to_server, Answer::NotJudged);
        assert_ne!(
            parse("other.pcap", &text).unwrap()[0].to_server,
            Answer::NotJudged
        );
    }

    #[test]
    fn a_short_row_is_an_error_and_other_rows_are_passed_over() {
        assert!(parse("some.pcap", ENDS).is_err());
        assert_eq!(parse("some.pcap", "http\t1\t2\nfile\tx"), Ok(vec![]));
    }
}
