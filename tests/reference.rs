//! The reference pages that are printed by the program are what it prints.

use std::process::Command;

#[test]
fn profiles_page_is_what_the_program_prints() {
    let printed = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["doc", "profiles"])
        .output()
        .expect("wero runs");
    let page = include_str!("../doc/reference/profiles.md");
    assert_eq!(
        String::from_utf8_lossy(&printed.stdout),
        page,
        "run: wero doc profiles > doc/reference/profiles.md"
    );
}
