//! Samples and rules do what their folders say: `wero test` runs them, as
//! users do theirs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn samples_and_rules_pass_their_tests() {
    let run = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["test", "sample", "rules"])
        .current_dir(root())
        .output()
        .expect("wero runs");
    let (text, complaints) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{text}{complaints}");

    // Every sample, and every rule file, has a case that was run.
    let mut missing: Vec<String> = folders("sample");
    for protocol in folders("rules") {
        missing.extend(rule_files(&protocol));
    }
    missing.retain(|name| !text.contains(&format!("ok    {name}\n")));
    assert!(missing.is_empty(), "not tested: {missing:?}\n{text}");
}

#[test]
fn every_sample_is_listed_and_explained() {
    let index = fs::read_to_string(root().join("sample/README.md")).expect("samples have an index");
    for folder in folders("sample") {
        let name = folder.trim_start_matches("sample/");
        assert!(
            index.contains(&format!("({name}/README.md)")),
            "{name} is not listed"
        );
        assert!(
            root().join(&folder).join("README.md").is_file(),
            "{name} has no README"
        );
    }
}

/// The folders in a folder, by their path from the root.
fn folders(name: &str) -> Vec<String> {
    let names: BTreeSet<String> = fs::read_dir(root().join(name))
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| format!("{name}/{}", entry.file_name().to_string_lossy()))
        .collect();
    names.into_iter().collect()
}

/// The rule files in a folder, without their ends: so are their cases named.
fn rule_files(folder: &str) -> Vec<String> {
    fs::read_dir(root().join(folder))
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable entry").file_name())
        .filter_map(|name| {
            let name = name.to_string_lossy();
            let stem = name.strip_suffix(".lua")?;
            Some(format!("{folder}/{stem}"))
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
