//! Where captures lie: the project's own, and the corpus if it is there.

// Each test file takes this module in as its own and uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

/// Captures made by the project.
pub fn own() -> Vec<PathBuf> {
    in_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures"))
}

/// Captures in a folder, in the order of their names.
pub fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let listing =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let is_capture = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default();
        path.is_file() && !["tsv", "rs", "md"].iter().any(|other| ending == *other)
    };
    let mut files: Vec<PathBuf> = listing
        .map(|entry| entry.expect("a readable folder").path())
        .filter(is_capture)
        .collect();
    files.sort();
    files
}

/// The folder of the corpus, which is no part of the repository: the variable
/// `WERO_CORPUS`, or beside it.
pub fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("WERO_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
        PathBuf::from,
    );
    folder.join("captures").is_dir().then_some(folder)
}
