//! Streams that rules edit: whatever the network does to the segments, both
//! ends read what the rule wrote.
//!
//! Every `stream-*` capture is replayed under every edit: insert, erase and
//! replace, of 1, 10 and 3,000 bytes, in either direction, in the first, a
//! middle and the last segment. An outsider's reassembly of what leaves is
//! compared with the edited text; checksums, lengths, overlaps, FINs and
//! acknowledgements are checked on the way. tshark and `wero flows` are asked
//! the same where they are at hand.

#[path = "support/captures.rs"]
mod captures;
#[path = "support/rig.rs"]
mod rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rig::{Gone, Rig, read_capture};
use stream_edits::wire::{Segment, Stream, segment};
use wero::event::{Profile, Settings, Verdict};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::time::Timestamp;

mod stream_edits {
    pub mod wire;
}

const REQUEST: &[u8] = b"name: alice\nsecret: 0123456789\nbye\n";
const RESPONSE: &[u8] =
    b"welcome, alice\nthe quick brown fox\njumps over\nthe lazy dog\ngoodbye, alice\n";
/// In `stream-rst` the server gets no further.
const RESPONSE_BEFORE_RST: usize = 35;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Insert,
    Erase,
    Replace,
}

/// An edit of one direction, at an offset of what its sender wrote.
#[derive(Clone, Copy, Debug)]
struct Edit {
    kind: Kind,
    len: usize,
    direction: &'static str,
    at: usize,
}

impl Edit {
    fn all() -> Vec<Edit> {
        let mut edits = Vec::new();
        for (direction, places) in [("up", [3, 20, 33]), ("down", [4, 40, 65])] {
            for at in places {
                for kind in [Kind::Insert, Kind::Erase, Kind::Replace] {
                    for len in [1, 10, 3000] {
                        edits.push(Edit {
                            kind,
                            len,
                            direction,
                            at,
                        });
                    }
                }
            }
        }
        edits
    }

    /// The text as the rule is to make it.
    fn apply(&self, text: &[u8]) -> Vec<u8> {
        if self.at >= text.len() {
            return text.to_vec();
        }
        let erased = if self.kind == Kind::Insert {
            0
        } else {
            self.len.min(text.len() - self.at)
        };
        let written = if self.kind == Kind::Erase {
            0
        } else {
            self.len
        };
        let mut new = text[..self.at].to_vec();
        new.extend(std::iter::repeat_n(b'#', written));
        new.extend_from_slice(&text[self.at + erased..]);
        new
    }

    /// The rule: it counts the bytes of the direction and edits where the
    /// place falls, going on in later data with what is left to erase.
    fn rule(&self) -> String {
        let Edit {
            len, direction, at, ..
        } = *self;
        let (written, erased) = match self.kind {
            Kind::Insert => (len, 0),
            Kind::Erase => (0, len),
            Kind::Replace => (len, len),
        };
        format!(
            "require('protocol/tcp_connection')
             local seen, left
             haka.rule {{ on = haka.dissectors.tcp_connection.events.new_connection, eval = function ()
               seen, left = 0, {erased}
             end }}
             haka.rule {{ on = haka.dissectors.tcp_connection.events.receive_data, eval = function (_, data, dir)
               if dir ~= '{direction}' then return end
               local first, size = seen, #data
               seen = first + size
               local from = math.max({at} - first, 0)
               if from >= size then return end
               local count = math.min(left, size - from)
               left = left - count
               local written = first <= {at} and {written} or 0
               if written == 0 then
                 if count > 0 then data:sub(from, count):erase() end
               elseif count == 0 then
                 data:pos(from):insert(haka.vbuffer_from(string.rep('#', written)))
               else
                 data:sub(from, count):replace(haka.vbuffer_from(string.rep('#', written)))
               end
             end }}"
        )
    }
}

struct Capture {
    name: String,
    link: LinkType,
    packets: Vec<(Timestamp, Vec<u8>)>,
}

fn captures() -> Vec<Capture> {
    let mut paths = captures::own();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("stream-")
    });
    assert_eq!(paths.len() % 2, 0, "each for IPv4 and IPv6");
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Capture {
    let (link, packets) = read_capture(path);
    let name = path.file_stem().unwrap_or_default();
    Capture {
        name: name.to_string_lossy().into_owned(),
        link,
        packets,
    }
}

/// What leaves: the number of the packet that was on its way, and a frame.
type Out = Vec<(usize, Vec<u8>)>;

/// An engine with a rule file, for one capture after the other.
struct Replay(Rig);

impl Replay {
    fn new(rules: &str) -> Replay {
        Replay::with(rules, Settings::new(Profile::Wero))
    }

    /// As `wero replay` does it: acknowledgements were recorded.
    fn of_recordings(rules: &str) -> Replay {
        let settings = Settings {
            recorded: true,
            ..Settings::new(Profile::Wero)
        };
        Replay::with(rules, settings)
    }

    fn with(rules: &str, settings: Settings) -> Replay {
        let mut rig = Rig::load(rules, &[], settings, Limits::default())
            .unwrap_or_else(|(error, _)| panic!("{error}"));
        rig.started();
        Replay(rig)
    }

    fn run(&mut self, capture: &Capture) -> Out {
        let mut out = Out::new();
        let mut verdicts = vec![0; capture.packets.len() + 1];
        let mut note = |number: usize, gone: Vec<Gone>| {
            for packet in gone {
                verdicts[packet.id as usize] += usize::from(packet.verdict != Verdict::Inject);
                if !packet.refused() {
                    out.push((number, packet.bytes));
                }
            }
        };
        for (number, (time, bytes)) in capture.packets.iter().enumerate() {
            let id = number as u64 + 1;
            note(number, self.0.packet(id, *time, capture.link, bytes));
        }
        note(capture.packets.len(), self.0.shutdown());
        let name = &capture.name;
        assert_eq!(self.0.said().errors(), Vec::<&str>::new(), "{name}");
        assert!(
            verdicts[1..].iter().all(|&count| count == 1),
            "{name}: one verdict each: {verdicts:?}"
        );
        out
    }
}

/// Reads both directions of what left, and checks that no acknowledgement
/// tells a sender more than it has sent by then.
fn streams(capture: &Capture, out: &Out) -> [Stream; 2] {
    let mut sent_in = [Stream::default(), Stream::default()];
    let mut left = [Stream::default(), Stream::default()];
    let mut came = capture
        .packets
        .iter()
        .enumerate()
        .map(|(number, (_, frame))| (number, segment(frame)))
        .peekable();
    let side = |segment: &Segment| usize::from(!segment.from_client);
    for (number, frame) in out {
        while let Some((_, segment)) = came.next_if(|(came, _)| came <= number) {
            sent_in[side(&segment)].take(&segment);
        }
        let segment = segment(frame);
        let own = side(&segment);
        if let Some(ack) = segment.ack.filter(|_| !segment.rst) {
            let other = &sent_in[1 - own];
            assert!(
                other.acknowledged(ack) <= other.sent as i64,
                "an acknowledgement of what was not sent"
            );
        }
        if !segment.rst {
            left[own].take(&segment);
        }
    }
    left
}

fn texts(name: &str) -> [Vec<u8>; 2] {
    let mut response = RESPONSE.to_vec();
    if name.starts_with("stream-rst") {
        response.truncate(RESPONSE_BEFORE_RST);
    }
    [REQUEST.to_vec(), response]
}

/// Segments may say something else only where nobody takes it: a late
/// retransmission of what was acknowledged, the byte of a keep-alive.
fn may_conflict(name: &str) -> bool {
    name.starts_with("stream-conflict-late") || name.starts_with("stream-keep-alive")
}

fn expected(capture: &Capture, edit: Edit) -> [Vec<u8>; 2] {
    let mut expected = texts(&capture.name);
    let side = usize::from(edit.direction == "down");
    expected[side] = edit.apply(&expected[side]);
    expected
}

/// Both directions of what left.
fn left(out: &Out) -> [Stream; 2] {
    let mut left = [Stream::default(), Stream::default()];
    for (_, frame) in out {
        let segment = segment(frame);
        if !segment.rst {
            left[usize::from(!segment.from_client)].take(&segment);
        }
    }
    left
}

fn check(capture: &Capture, edit: Edit, out: &Out) -> [Vec<u8>; 2] {
    let name = &capture.name;
    let expected = expected(capture, edit);
    let left = streams(capture, out);
    for (side, (stream, text)) in left.iter().zip(&expected).enumerate() {
        let read = stream.text();
        assert!(
            read == *text,
            "{name}, {edit:?}, side {side}:\n{}\ninstead of\n{}",
            String::from_utf8_lossy(&read),
            String::from_utf8_lossy(text)
        );
        assert!(!stream.has_gap(), "{name}, {edit:?}");
        assert!(
            stream.conflicts == 0 || may_conflict(name),
            "{name}, {edit:?}: {} conflicts",
            stream.conflicts
        );
        if !name.starts_with("stream-rst") {
            assert_eq!(
                stream.fin,
                Some(text.len() as u64),
                "{name}, {edit:?}: the FIN follows the text"
            );
        }
    }
    expected
}

/// In what is written of a recording no acknowledgement passes what was
/// written before it, and the last ones are of everything.
fn acknowledgements_fit(capture: &Capture, edit: Edit, out: &Out) {
    let mut left = [Stream::default(), Stream::default()];
    let mut acknowledged = [0; 2];
    for (_, frame) in out {
        let segment = segment(frame);
        let own = usize::from(!segment.from_client);
        if segment.rst {
            continue;
        }
        left[own].take(&segment);
        if let Some(ack) = segment.ack {
            let other = &left[1 - own];
            let offset = other.acknowledged(ack);
            assert!(
                offset <= other.sent as i64,
                "{}, {edit:?}: {offset} of {}",
                capture.name,
                other.sent
            );
            acknowledged[1 - own] = offset;
        }
    }
    if !capture.name.starts_with("stream-rst") {
        let sent = left.map(|stream| stream.sent as i64);
        assert_eq!(acknowledged, sent, "{}, {edit:?}", capture.name);
    }
}

#[test]
fn what_is_written_of_a_recording_is_one_conversation() {
    let captures = captures();
    for edit in Edit::all() {
        let mut replay = Replay::of_recordings(&edit.rule());
        for capture in &captures {
            let out = replay.run(capture);
            for (stream, text) in left(&out).iter().zip(expected(capture, edit)) {
                assert!(stream.text() == text, "{}, {edit:?}", capture.name);
            }
            acknowledgements_fit(capture, edit, &out);
        }
    }
}

fn run_all(direction: &str) {
    let captures = captures();
    for edit in Edit::all()
        .into_iter()
        .filter(|edit| edit.direction == direction)
    {
        let mut replay = Replay::new(&edit.rule());
        for capture in &captures {
            let out = replay.run(capture);
            check(capture, edit, &out);
        }
    }
}

#[test]
fn requests_read_as_the_rule_wrote_them() {
    run_all("up");
}

#[test]
fn responses_read_as_the_rule_wrote_them() {
    run_all("down");
}

#[test]
fn readers_that_change_nothing_leave_every_byte() {
    let mut replay = Replay::new(
        "require('protocol/tcp_connection')
         haka.rule { on = haka.dissectors.tcp_connection.events.receive_data, eval = function (flow, data)
           local _ = data:asstring()
         end }",
    );
    for capture in captures()
        .iter()
        .filter(|capture| !capture.name.contains("conflict-v"))
    {
        let out = replay.run(capture);
        let mut left: Vec<_> = out.into_iter().map(|(_, frame)| frame).collect();
        let mut came: Vec<_> = capture
            .packets
            .iter()
            .map(|(_, frame)| frame.clone())
            .collect();
        // Segments that came early leave once what is missing has come.
        if ["reorder", "loss-unseen", "sack"]
            .iter()
            .any(|name| capture.name.contains(name))
        {
            left.sort();
            came.sort();
        }
        assert!(left == came, "{}", capture.name);
    }
}

#[test]
fn every_byte_edited_at_once_comes_out_in_both_directions() {
    // Each piece grows or shrinks, so that every number in the connection moves.
    let rule = "require('protocol/tcp_connection')
        haka.rule { on = haka.dissectors.tcp_connection.events.receive_data, eval = function (flow, data, dir)
          local text = data:asstring()
          local new = text:gsub('[aeiou]', '<%0%0>'):gsub(' ', '')
          data:replace(haka.vbuffer_from(new))
        end }";
    let mut replay = Replay::new(rule);
    for capture in captures() {
        let out = replay.run(&capture);
        for (stream, text) in streams(&capture, &out).iter().zip(texts(&capture.name)) {
            let mut expected = Vec::new();
            for byte in text.into_iter().filter(|&byte| byte != b' ') {
                match byte {
                    b'a' | b'e' | b'i' | b'o' | b'u' => {
                        expected.extend_from_slice(&[b'<', byte, byte, b'>'])
                    }
                    _ => expected.push(byte),
                }
            }
            assert_eq!(
                String::from_utf8_lossy(&stream.text()),
                String::from_utf8_lossy(&expected),
                "{}",
                capture.name
            );
            assert!(stream.conflicts == 0, "{}", capture.name);
        }
    }
}

/// One edit of every kind, size, direction and place falls on the captures in
/// turn, so that the slow witnesses see each of them and each capture.
fn sampled() -> Vec<(Capture, Edit, Out)> {
    let edits = Edit::all();
    let chosen = captures().into_iter().enumerate().map(|(number, capture)| {
        // 7 and the number of edits have no common factor.
        let edit = edits[number * 7 % edits.len()];
        let out = Replay::new(&edit.rule()).run(&capture);
        (capture, edit, out)
    });
    chosen.collect()
}

/// A folder of the test's own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("stream-edits-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a writable folder");
        Folder(path)
    }

    fn write(&self, capture: &Capture, out: &Out) -> PathBuf {
        let mut file = Vec::new();
        for word in [
            0xa1b2_c3d4_u32,
            0x0004_0002,
            0,
            0,
            262_144,
            u32::from(capture.link.0),
        ] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        for (place, (_, frame)) in out.iter().enumerate() {
            for word in [place as u32, 0, frame.len() as u32, frame.len() as u32] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            file.extend_from_slice(frame);
        }
        let path = self.0.join(format!("{}.pcap", capture.name));
        fs::write(&path, file).expect("a writable file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn wero_flows_reads_the_same_streams() {
    use std::fmt::Write;
    let folder = Folder::new("flows");
    for (capture, edit, out) in sampled() {
        let expected = check(&capture, edit, &out);
        let path = folder.write(&capture, &out);
        let listed = Command::new(env!("CARGO_BIN_EXE_wero"))
            .args(["flows", "--json"])
            .arg(&path)
            .output()
            .expect("wero runs");
        let line: serde_json::Value =
            serde_json::from_slice(&listed.stdout).unwrap_or_else(|error| {
                panic!(
                    "{}, {edit:?}: {error}: {}",
                    capture.name,
                    String::from_utf8_lossy(&listed.stdout)
                )
            });
        for (side, text) in ["to_server", "to_client"].iter().zip(&expected) {
            let stream = &line[side]["stream"];
            let state = stream["state"].as_str();
            let conflict = state == Some("conflict") && may_conflict(&capture.name);
            assert!(
                state == Some("ok") || conflict,
                "{}, {edit:?}: {line}",
                capture.name
            );
            assert_eq!(
                stream["len"],
                text.len(),
                "{}, {edit:?}: {line}",
                capture.name
            );
            let mut hash = String::new();
            for byte in <sha2::Sha256 as sha2::Digest>::digest(text) {
                let _ = write!(hash, "{byte:02x}");
            }
            assert_eq!(stream["sha256"], hash, "{}, {edit:?}", capture.name);
        }
    }
}

#[test]
fn tshark_follows_the_same_streams_and_finds_no_wrong_checksum() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("skipped: tshark is not installed");
        return;
    }
    let folder = Folder::new("tshark");
    for (capture, edit, out) in sampled() {
        let expected = check(&capture, edit, &out);
        let path = folder.write(&capture, &out);
        let checked = [
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
        ];
        let said = Command::new("tshark")
            .arg("-r")
            .arg(&path)
            .args(checked)
            .args([
                "-Y",
                "tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed",
            ])
            .args(["-z", "follow,tcp,raw,0"])
            .output()
            .expect("tshark runs");
        let said = String::from_utf8(said.stdout).expect("tshark writes text");
        let (wrong, followed) = said.split_once("====").expect("a followed stream");
        assert_eq!(wrong.trim(), "", "{}, {edit:?}", capture.name);
        let mut read = [Vec::new(), Vec::new()];
        for line in followed.lines() {
            let side = usize::from(line.starts_with('\t'));
            let text = line.trim();
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let digits = |at: usize| {
                    u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits")
                };
                read[side].extend((0..text.len()).step_by(2).map(digits));
            }
        }
        assert!(read == expected, "{}, {edit:?}: {followed}", capture.name);
    }
}
