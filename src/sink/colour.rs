//! Terminal colours, in the sequences that Haka's `color` module names.

pub(super) const CLEAR: &str = "\x1b[0m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const BOLD_RED: &str = "\x1b[1m\x1b[31m";
pub(super) const BOLD_YELLOW: &str = "\x1b[1m\x1b[33m";
pub(super) const BOLD_CYAN: &str = "\x1b[1m\x1b[36m";
pub(super) const CYAN: &str = "\x1b[36m";

/// Appends `text`, coloured unless `colour` is empty.
pub(super) fn paint(out: &mut String, colour: &str, text: &str) {
    if colour.is_empty() {
        out.push_str(text);
        return;
    }
    out.push_str(colour);
    out.push_str(text);
    out.push_str(CLEAR);
}
