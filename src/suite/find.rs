//! Finds tests below paths.
//!
//! A golden case is a folder with a capture `input.*`, something expected,
//! or a rule of its own named `case.lua`. Its rule is `case.lua`, `rule.lua`,
//! or the file beside the folder with the folder's name: `scan/` holds a case
//! of `scan.lua`. Lua test files are named `test_*.lua` or `*_test.lua`; one
//! given by its path may have any name. Folders are read in the order of
//! their names; what begins with a dot is left out.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 32;

/// Ends of capture names that an input may have.
const CAPTURES: [&str; 2] = ["pcap", "pcapng"];
const COMPRESSIONS: [&str; 3] = ["", ".gz", ".zst"];

/// Something to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its path as it was found; Lua tests add their own names.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Golden(GoldenCase),
    /// A file of tests in Lua.
    Unit(PathBuf),
    /// It looks like a case and lacks what the text says.
    Broken(String),
}

/// A folder with a rule, a capture and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenCase {
    pub folder: PathBuf,
    /// From the folder.
    pub rule: PathBuf,
    /// File name in the folder.
    pub input: String,
}

/// Why tests could not be looked for.
#[derive(Debug, thiserror::Error)]
#[error("cannot read '{path}': {source}")]
pub struct FindError {
    pub path: String,
    source: io::Error,
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> FindError + '_ {
    move |source| FindError {
        path: path.display().to_string(),
        source,
    }
}

/// Every case below the paths, in their order, each once.
///
/// # Errors
/// When a path does not exist or a folder cannot be listed.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Case>, FindError> {
    let mut finder = Finder::default();
    for path in paths {
        if fs::metadata(path).map_err(unreadable(path))?.is_dir() {
            finder.folder(path, 0)?;
        } else {
            finder.file(path);
        }
    }
    Ok(finder.cases)
}

#[derive(Default)]
struct Finder {
    cases: Vec<Case>,
    seen: BTreeSet<PathBuf>,
}

impl Finder {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), FindError> {
        if depth > MAX_DEPTH || !self.is_new(folder) {
            return Ok(());
        }
        if let Some(kind) = golden(folder) {
            self.add(folder, kind);
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            entries.push(entry.map_err(unreadable(folder))?.path());
        }
        entries.sort();
        for path in entries {
            let name = file_name(&path);
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.folder(&path, depth + 1)?;
            } else if is_test_file(&name) && self.is_new(&path) {
                self.add(&path, Kind::Unit(path.clone()));
            }
        }
        Ok(())
    }

    /// A file that was named: a case's own, or tests in Lua.
    fn file(&mut self, path: &Path) {
        let name = file_name(path);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if ["rule.lua", "case.lua"].contains(&name.as_str())
            && let Some(kind) = golden(folder)
        {
            if self.is_new(folder) {
                self.add(folder, kind);
            }
        } else if self.is_new(path) {
            self.add(path, Kind::Unit(path.to_owned()));
        }
    }

    fn add(&mut self, path: &Path, kind: Kind) {
        let name = path.display().to_string();
        let name = name.trim_end_matches('/').to_owned();
        self.cases.push(Case { name, kind });
    }

    fn is_new(&mut self, path: &Path) -> bool {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.seen.insert(real)
    }
}

fn is_test_file(name: &str) -> bool {
    name.strip_suffix(".lua")
        .is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The case that a folder is; `None` for common folders.
fn golden(folder: &Path) -> Option<Kind> {
    let has = |name: &str| folder.join(name).is_file();
    let inputs: Vec<String> = CAPTURES
        .iter()
        .flat_map(|form| COMPRESSIONS.map(|packed| format!("input.{form}{packed}")))
        .filter(|name| has(name))
        .collect();
    let expects = ["expected.txt", "expected.pcap", "expected.pcapng"]
        .into_iter()
        .any(has);
    if inputs.is_empty() && !expects && !has("case.lua") {
        return None;
    }
    let kind = match (rule_of(folder), inputs.as_slice()) {
        (Some(rule), [input]) => Kind::Golden(GoldenCase {
            folder: folder.to_owned(),
            rule,
            input: input.clone(),
        }),
        (None, _) => Kind::Broken(format!(
            "has no rule: neither 'case.lua' nor 'rule.lua', and no '{}.lua' beside it",
            file_name(folder)
        )),
        (_, []) => Kind::Broken("has no capture 'input.pcap'".to_owned()),
        (_, several) => Kind::Broken(format!(
            "has several captures: {}; keep one",
            several.join(", ")
        )),
    };
    Some(kind)
}

fn rule_of(folder: &Path) -> Option<PathBuf> {
    for name in ["case.lua", "rule.lua"] {
        if folder.join(name).is_file() {
            return Some(name.into());
        }
    }
    let real = folder.canonicalize().ok()?;
    let beside = real.with_file_name(format!("{}.lua", file_name(&real)));
    beside
        .is_file()
        .then(|| Path::new("..").join(beside.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("there is room for temporary files");
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("it is in the folder")).expect("writable");
            fs::write(path, b"").expect("writable");
        }
        root
    }

    fn found(root: &Path, paths: &[&str]) -> Vec<(String, &'static str)> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
        let cases = find(&paths).expect("the paths are there");
        let prefix = format!("{}/", root.display());
        cases
            .iter()
            .map(|case| {
                let kind = match &case.kind {
                    Kind::Golden(_) => "golden",
                    Kind::Unit(_) => "unit",
                    Kind::Broken(_) => "broken",
                };
                (case.name.replace(&prefix, ""), kind)
            })
            .collect()
    }

    #[test]
    fn cases_are_found_in_order_and_once() {
        let root = tree(&[
            "b/rule.lua",
            "b/input.pcap.gz",
            "b/expected.txt",
            "a/deep/case.lua",
            "a/deep/input.pcapng",
            "a/scan.lua",
            "a/scan/input.pcap",
            "a/test_math.lua",
            "a/other_test.lua",
            "a/testing.lua",
            ".git/rule.lua",
            ".git/input.pcap",
        ]);
        let all = [
            ("a/deep".to_owned(), "golden"),
            ("a/other_test.lua".to_owned(), "unit"),
            ("a/scan".to_owned(), "golden"),
            ("a/test_math.lua".to_owned(), "unit"),
            ("b".to_owned(), "golden"),
        ];
        assert_eq!(found(root.path(), &["a", "b", "a/scan", "b/rule.lua"]), all);
        assert_eq!(
            found(root.path(), &["a/testing.lua"]),
            [("a/testing.lua".to_owned(), "unit")]
        );
    }

    #[test]
    fn a_rule_may_stand_beside_its_case() {
        let root = tree(&["scan.lua", "scan/input.pcap"]);
        let cases = find(&[root.path().join("scan/")]).expect("it is there");
        let [
            Case {
                kind: Kind::Golden(case),
                ..
            },
        ] = cases.as_slice()
        else {
            panic!("{cases:?}");
        };
        assert_eq!(case.rule, Path::new("../scan.lua"));
    }

    #[test]
    fn what_a_case_lacks_is_told() {
        let root = tree(&[
            "one/expected.txt",
            "one/rule.lua",
            "two/input.pcap",
            "three/input.pcap",
            "three/input.pcap.zst",
            "three/case.lua",
        ]);
        let cases = find(&[root.path().to_owned()]).expect("it is there");
        let texts: Vec<&str> = cases
            .iter()
            .map(|case| match &case.kind {
                Kind::Broken(text) => text.as_str(),
                _ => "",
            })
            .collect();
        assert!(texts[0].contains("no capture"), "{texts:?}");
        assert!(texts[1].contains("several captures"), "{texts:?}");
        assert!(texts[2].contains("no 'two.lua'"), "{texts:?}");
        let missing = find(&[root.path().join("nowhere")]).expect_err("it is not there");
        assert!(missing.to_string().contains("nowhere"));
    }
}
