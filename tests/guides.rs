//! The guides in `doc/guide/` and the texts of the reference pages in
//! `src/manual/pages/` do what they say: each Lua block is a rule file under
//! the name in its first line, each console block is run from the root of the
//! repository and must print what follows it. Rust blocks are parts of the
//! files in `examples/`; a JSON block has to be JSON.
//!
//! `UPDATE_GOLDEN=1` writes what the commands print into the texts; read the
//! difference as carefully as code.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the commands of one guide run: its rule files, beside the samples.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["sample", "rules", "tests"] {
            std::os::unix::fs::symlink(root().join(name), folder.path().join(name))
                .expect("a link to the captures");
        }
        fs::write(folder.path().join("countries.dat"), countries()).expect("a database");
        Desk { folder }
    }

    fn keep(&self, guide: &str, block: &str) {
        let name = block
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("-- "))
            .filter(|name| name.ends_with(".lua"))
            .unwrap_or_else(|| {
                panic!("{guide}: a Lua block does not begin with its name:\n{block}")
            });
        fs::write(self.folder.path().join(name), block).expect("a rule file");
    }

    /// What a command prints, errors of its run behind it.
    fn run(&self, command: &str) -> String {
        let programs = Path::new(env!("CARGO_BIN_EXE_wero"))
            .parent()
            .expect("programs lie in a folder");
        let path = std::env::var("PATH").expect("a search path");
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("TZ", "UTC")
            .output()
            .expect("a shell");
        let mut text = String::from_utf8(output.stdout).expect("text");
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            writeln!(text, "{errors}{}", output.status).expect("room");
        }
        text
    }

    /// A console block as it ought to be.
    fn transcript(&self, block: &str) -> String {
        let mut text = String::new();
        for line in block.lines().filter(|line| line.starts_with("$ ")) {
            text.push_str(line);
            text.push('\n');
            text.push_str(&self.run(&line[2..]));
        }
        text
    }
}

/// A database of countries in the older format: 10.1.0.0/16 is German,
/// 10.2.0.0/16 French, and nothing else is known.
fn countries() -> Vec<u8> {
    const NETWORKS: [(u32, u32); 2] = [(0x0a01, 56), (0x0a02, 75)];
    const BITS: u32 = 16;
    const LEAF: u32 = 0xff_ff00;
    // Left and right of each node: another node, or a leaf with its country.
    let mut nodes = vec![[LEAF; 2]];
    for (prefix, country) in NETWORKS {
        let mut node = 0;
        for bit in (0..BITS).rev() {
            let side = (prefix >> bit & 1) as usize;
            if bit == 0 {
                nodes[node][side] = LEAF + country;
                break;
            }
            if nodes[node][side] == LEAF {
                nodes.push([LEAF; 2]);
                nodes[node][side] = nodes.len() as u32 - 1;
            }
            node = nodes[node][side] as usize;
        }
    }
    let records = nodes.into_iter().flatten();
    let mut file: Vec<u8> = records
        .flat_map(|record| record.to_le_bytes()[..3].to_vec())
        .collect();
    file.extend(b"\0\0\0test\xff\xff\xff\x01");
    file
}

fn check(file: &PathBuf) {
    let guide = file.display().to_string();
    let text = fs::read_to_string(file).expect("a guide");
    let desk = Desk::new();
    let mut fresh = String::new();
    let mut parts = text.split("```");
    let (mut files, mut runs) = (0, 0);
    fresh.push_str(parts.next().expect("split gives one part"));
    while let (Some(block), Some(after)) = (parts.next(), parts.next()) {
        let (kind, body) = block.split_once('\n').unwrap_or((block, ""));
        let body = match kind {
            "lua" => {
                desk.keep(&guide, body);
                files += 1;
                body.to_owned()
            }
            "console" => {
                runs += 1;
                desk.transcript(body)
            }
            "rust" => {
                assert!(
                    is_example(body),
                    "{guide}: no file in examples/ has\n{body}"
                );
                body.to_owned()
            }
            "json" => {
                serde_json::from_str::<serde_json::Value>(body)
                    .unwrap_or_else(|error| panic!("{guide}: {error} in\n{body}"));
                body.to_owned()
            }
            other => panic!("{guide}: a block of kind `{other}` cannot be run"),
        };
        write!(fresh, "```{kind}\n{body}```{after}").expect("room");
    }
    assert!(files == 0 || runs > 0, "{guide} runs none of its files");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, fresh).expect("the guide can be written");
        return;
    }
    for (number, (is, said)) in fresh.lines().zip(text.lines()).enumerate() {
        assert_eq!(is, said, "{guide}:{}", number + 1);
    }
    assert_eq!(fresh, text, "{guide}");
}

fn is_example(block: &str) -> bool {
    let files = fs::read_dir(root().join("examples")).expect("there are examples");
    files
        .filter_map(|file| fs::read_to_string(file.ok()?.path()).ok())
        .any(|text| text.contains(block))
}

fn texts(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(root().join(folder))
        .expect("there are texts")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

#[test]
fn guides_do_what_they_say() {
    let guides = texts("doc/guide");
    assert!(guides.len() >= 4);
    for guide in &guides {
        check(guide);
    }
}

#[test]
fn the_examples_of_the_reference_pages_run() {
    for page in &texts("src/manual/pages") {
        check(page);
    }
}
