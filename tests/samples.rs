//! Every sample does what its folder says: `wero replay` on its rule and its
//! capture gives the expected output and the expected packets, to the byte.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected; read the difference as
//! carefully as code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One test for each sample, under the sample's name.
macro_rules! samples {
    ($($test:ident => $folder:literal,)*) => {
        $(
            #[test]
            fn $test() {
                Sample::named($folder).check();
            }
        )*

        const TESTED: &[&str] = &[$($folder),*];
    };
}

samples! {
    hello_packet => "hello-packet",
    ip_filter => "ip-filter",
    port_filter => "port-filter",
    group_filter => "group-filter",
    scan_alerts => "scan-alerts",
    shellcode => "shellcode",
    stream_rewrite => "stream-rewrite",
    reset => "reset",
    new_connection_firewall => "new-connection-firewall",
    smtp_dissector => "smtp-dissector",
    records => "records",
}

#[test]
fn every_sample_is_tested_and_listed() {
    let listing = fs::read_dir(root().join("sample")).expect("there are samples");
    let folders: BTreeSet<String> = listing
        .map(|entry| entry.expect("a readable folder"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            entry
                .file_name()
                .into_string()
                .expect("samples have plain names")
        })
        .collect();
    let tested: BTreeSet<String> = TESTED.iter().map(ToString::to_string).collect();
    assert_eq!(folders, tested);

    let index = fs::read_to_string(root().join("sample/README.md")).expect("samples have an index");
    for folder in &folders {
        assert!(
            index.contains(&format!("({folder}/README.md)")),
            "{folder} is not listed"
        );
        assert!(
            root()
                .join("sample")
                .join(folder)
                .join("README.md")
                .is_file(),
            "{folder} has no README"
        );
    }
}

struct Sample {
    name: &'static str,
    folder: PathBuf,
}

/// What a run gives: data on standard output, packets in a file. The summary
/// goes to standard error and is not compared.
struct Outcome {
    text: Vec<u8>,
    packets: Vec<u8>,
}

impl Sample {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            folder: root().join("sample").join(name),
        }
    }

    fn check(&self) {
        let outcome = self.run();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(self.folder.join("expected.txt"), &outcome.text)
                .expect("the sample is writable");
            fs::write(self.folder.join("expected.pcap"), &outcome.packets)
                .expect("the sample is writable");
            return;
        }
        // As text, so that a difference can be read.
        let text = String::from_utf8_lossy(&outcome.text).into_owned();
        let expected = String::from_utf8_lossy(&self.expected("expected.txt")).into_owned();
        assert_eq!(text, expected, "{}: other output", self.name);

        let expected = self.expected("expected.pcap");
        let differs = first_difference(&outcome.packets, &expected);
        assert_eq!(
            differs, None,
            "{}: other packets, from this byte of the file on",
            self.name
        );
    }

    fn run(&self) -> Outcome {
        self.run_on(Path::new("input.pcap"))
    }

    fn run_on(&self, capture: &Path) -> Outcome {
        let scratch = tempfile::tempdir().expect("there is room for temporary files");
        let packets = scratch.path().join("out.pcap");
        let run = Command::new(env!("CARGO_BIN_EXE_wero"))
            // Alerts show local time.
            .env("TZ", "UTC")
            .current_dir(&self.folder)
            .args(["replay", "-o"])
            .arg(&packets)
            .arg("rule.lua")
            .arg(capture)
            .output()
            .expect("wero runs");
        let complaints = String::from_utf8_lossy(&run.stderr);
        assert!(
            run.status.success(),
            "{}: {}\n{complaints}",
            self.name,
            run.status
        );
        Outcome {
            text: run.stdout,
            packets: fs::read(&packets).expect("replay wrote packets"),
        }
    }

    fn expected(&self, file: &str) -> Vec<u8> {
        let path = self.folder.join(file);
        fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; UPDATE_GOLDEN=1 makes it", path.display());
        })
    }
}

/// A real conversation, whole and in segments of one byte. The corpus is no
/// part of this repository: `$WERO_CORPUS`, by default `../shared/corpus`.
#[test]
fn smtp_dissector_hears_the_same_in_one_byte_segments() {
    const CAPTURE: &str = "sv--firewall_ruletype-firewall-122-smtp_smtp-simple-session.pcap";
    let corpus = std::env::var_os("WERO_CORPUS")
        .map_or_else(|| root().join("../shared/corpus"), PathBuf::from);
    let whole = corpus.join("captures").join(CAPTURE);
    let pieces = corpus.join(format!("variants/onebyte--{CAPTURE}"));
    if !whole.is_file() || !pieces.is_file() {
        println!("skipped: {} is not there", whole.display());
        return;
    }
    let sample = Sample::named("smtp-dissector");
    let [whole, pieces] = [whole, pieces].map(|capture| {
        let capture = capture.canonicalize().expect("it is there");
        String::from_utf8(sample.run_on(&capture).text).expect("the conversation is text")
    });
    assert_eq!(pieces, whole);
    for part in [
        ": mail from:<alice@example.com>",
        ": 250 2.1.5 Ok",
        "mail of 222 bytes:\nFrom: alice@example.com\r\n",
        "\r\nSingle SMTP message in one TCP session.",
        ": 221 2.0.0 Bye",
    ] {
        assert!(whole.contains(part), "no {part:?} in\n{whole}");
    }
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let shorter = one.len().min(other.len());
    let within = one.iter().zip(other).position(|(a, b)| a != b);
    within.or((one.len() != other.len()).then_some(shorter))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_first_difference_is_told_by_its_byte() {
    assert_eq!(first_difference(b"same", b"same"), None);
    assert_eq!(first_difference(b"one", b"ode"), Some(1));
    assert_eq!(first_difference(b"longer", b"long"), Some(4));
}
