//! `wero doc`: reference pages out of the tables that the program runs on.

use std::io::{self, Write};

use super::Failure;
use crate::event::profile;

/// Print a page of the reference.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    page: Page,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Page {
    /// Every default in which the profiles differ.
    Profiles,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let text = match arguments.page {
        Page::Profiles => profiles(),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Failure::IO,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

/// The table as Markdown.
fn profiles() -> String {
    let mut text = String::from("| setting | `wero` | `haka` | meaning |\n|---|---|---|---|\n");
    for (name, wero, haka, meaning) in profile::differences() {
        text += &format!("| `{name}` | {wero} | {haka} | {} |\n", meaning.trim());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_a_row_of_four_columns() {
        let text = profiles();
        assert_eq!(text.lines().count(), 2 + profile::differences().len());
        assert!(
            text.lines().all(|line| line.matches('|').count() == 5),
            "{text}"
        );
    }
}
