//! Differences that can be read: of text, and of captures.

mod capture;
mod packet;
mod refusals;
mod text;

pub use capture::captures;
pub use refusals::Refusals;
pub use text::text;

use std::time::Duration;

/// Time after which a difference need not be the shortest.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lines of one difference that are shown.
const MAX_LINES: usize = 200;

/// Cuts a difference that is too long to read.
fn cut(text: String) -> String {
    let lines = text.lines().count();
    if lines <= MAX_LINES {
        return text;
    }
    let mut kept: String = text
        .lines()
        .take(MAX_LINES)
        .map(|line| format!("{line}\n"))
        .collect();
    kept.push_str(&format!("... {} lines more\n", lines - MAX_LINES));
    kept
}
