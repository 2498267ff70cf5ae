//! The shape of the source tree: lower modules never name higher ones, the
//! engine and all below it touch nothing outside, and `unsafe` stays where it
//! is argued for.

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first: a module may name itself and those before it.
const ORDER: &[&str] = &[
    "time", "addr", "alert", "buf", "regexp", "flow", "packet", "stream", "event", "core", "lua",
    "misc", "proto", "engine", "rule", "analysis", "lint", "manual", "capture", "gateway", "sink",
    "console", "worker", "suite", "cli",
];

/// From here on modules may touch the outside world.
const FIRST_OUTSIDE: &str = "capture";

/// Words of the outside world. (`std::net` also has plain addresses.)
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "println!",
    "eprintln!",
];

/// Where `unsafe` may stand: each block there says why it is sound.
const UNSAFE: &[&str] = &[
    "flow/arena.rs",
    "lua/",
    "engine/ops.rs",
    "engine/ops/",
    "rule/runtime.rs",
    "capture/system.rs",
    "capture/interface/ring.rs",
    "capture/interface/socket.rs",
    "capture/nfqueue/socket.rs",
];

#[test]
fn lower_modules_never_name_higher_ones() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(own) = rank(&file.module()) else {
            continue;
        };
        for (number, line) in &file.code {
            for named in crate_paths(line) {
                if rank(named).is_some_and(|other| other > own) {
                    wrong.push(format!("{}:{number}: names {named}", file.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_place() {
    for file in sources() {
        let module = file.module();
        let known = ["lib", "main", "bin"].contains(&module.as_str()) || rank(&module).is_some();
        assert!(known, "{} belongs to no layer", file.path);
    }
}

#[test]
fn the_engine_touches_nothing_outside() {
    let line = rank(FIRST_OUTSIDE);
    let mut wrong = Vec::new();
    for file in sources()
        .into_iter()
        .filter(|file| rank(&file.module()) < line)
    {
        for (number, code) in &file.code {
            if let Some(word) = OUTSIDE.iter().find(|word| contains_word(code, word)) {
                wrong.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    wrong.retain(|place| {
        !place.starts_with("lib.rs") && !place.starts_with("main.rs") && !place.starts_with("bin/")
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_stays_where_it_is_argued_for() {
    let mut wrong = Vec::new();
    for file in sources() {
        if UNSAFE.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        let found = file
            .code
            .iter()
            .filter(|(_, code)| contains_word(code, "unsafe"));
        wrong.extend(found.map(|(number, _)| format!("{}:{number}", file.path)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

struct Source {
    /// Below `src`.
    path: String,
    /// Lines with their numbers, without comments and without tests.
    code: Vec<(usize, String)>,
}

impl Source {
    /// The top module that the file belongs to.
    fn module(&self) -> String {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs").to_owned()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let sources: Vec<_> = files
        .into_iter()
        .filter(|path| !is_test_file(path))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("sources are text");
            let path = path
                .strip_prefix(&root)
                .expect("collected below it")
                .display()
                .to_string();
            Source {
                path,
                code: code(&text),
            }
        })
        .collect();
    assert!(sources.len() > 30, "only {} sources found", sources.len());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.ends_with("tests") || path.components().any(|part| part.as_os_str() == "tests")
}

/// Lines before the tests at the end of the file, comments cut off.
fn code(text: &str) -> Vec<(usize, String)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| {
            (
                at + 1,
                line.split("//").next().unwrap_or_default().to_owned(),
            )
        })
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .collect()
}

fn crate_paths(line: &str) -> Vec<&str> {
    line.match_indices("crate::")
        .filter_map(|(at, prefix)| {
            let rest = &line[at + prefix.len()..];
            let end = rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            rest.get(..end.unwrap_or(rest.len()))
        })
        .collect()
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == module)
}

fn contains_word(line: &str, word: &str) -> bool {
    let inside = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    };
    line.match_indices(word).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

#[test]
fn words_and_paths_are_found_in_code_only() {
    assert!(contains_word("let now = Instant::now();", "Instant"));
    assert!(!contains_word("let instantaneous = Instantly;", "Instant"));
    assert_eq!(
        crate_paths("use crate::cli; fn f(x: &crate::flow::Flow)"),
        ["cli", "flow"]
    );
    let text = "use crate::buf; // crate::cli\n/// crate::engine\n#[cfg(test)]\nmod tests { use crate::cli; }\n";
    let found: Vec<_> = code(text)
        .iter()
        .flat_map(|(_, line)| {
            crate_paths(line)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, ["buf"]);
}
