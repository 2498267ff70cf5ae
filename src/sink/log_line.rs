//! Log lines: how they look.
//!
//! The layout is Haka's, so that its tests and its users' eyes find what
//! they know. Not here: which lines are shown (`event::log_filter`), where a line goes (`fatal` belongs on standard error, the
//! rest on standard output), which is for the worker to do.

use super::colour::{BOLD, BOLD_RED, BOLD_YELLOW, CLEAR, CYAN, paint};
use crate::event::log::Level;

/// Lays out log lines. The column of sections is as wide as the widest
/// printed so far, so one value must serve a whole process.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    colour: bool,
    widest: usize,
}

impl LogLines {
    /// `colour` is for terminals.
    pub fn new(colour: bool) -> LogLines {
        LogLines { colour, widest: 0 }
    }

    /// The line for a message, with its line end. Line ends inside the
    /// message stay as they are.
    pub fn line(&mut self, level: Level, section: &str, message: &str) -> String {
        let width = section.chars().count();
        self.widest = self.widest.max(width);
        let mut line = String::with_capacity(self.widest + message.len() + 32);
        let (level_colour, section_colour) = match self.colour {
            true => (level_colour(level), CYAN),
            false => ("", ""),
        };
        paint(&mut line, level_colour, level.name());
        // Plain levels are cleared like the others, as Haka does.
        if self.colour && level_colour.is_empty() {
            line.push_str(CLEAR);
        }
        pad(&mut line, LEVEL_WIDTH.saturating_sub(level.name().len()));
        line.push(' ');
        paint(&mut line, section_colour, &format!("{section}:"));
        pad(&mut line, self.widest - width);
        line.push(' ');
        line.push_str(message);
        line.push('\n');
        if self.colour {
            line.push_str(CLEAR);
        }
        line
    }
}

/// Width of the level column: that of the longest name.
const LEVEL_WIDTH: usize = 5;

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::Fatal | Level::Error => BOLD_RED,
        Level::Warn => BOLD_YELLOW,
        Level::Info => BOLD,
        Level::Debug | Level::Trace => "",
    }
}

fn pad(line: &mut String, count: usize) {
    line.extend(std::iter::repeat_n(' ', count));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_column_grows() {
        let mut lines = LogLines::new(false);
        let mut text = String::new();
        for (level, section, message) in [
            (Level::Info, "core", "loading rule file 'r.lua'"),
            (Level::Warn, "dissector", "odd"),
            (Level::Fatal, "core", "one\ntwo\n"),
            (Level::Debug, "mysection10", ""),
        ] {
            text.push_str(&lines.line(level, section, message));
        }
        let expected = "info  core: loading rule file 'r.lua'\n\
                        warn  dissector: odd\n\
                        fatal core:      one\ntwo\n\n\
                        debug mysection10: \n";
        assert_eq!(text, expected);
    }

    #[test]
    fn colours_surround_level_and_section() {
        let mut lines = LogLines::new(true);
        assert_eq!(
            lines.line(Level::Error, "lua", "no"),
            "\x1b[1m\x1b[31merror\x1b[0m \x1b[36mlua:\x1b[0m no\n\x1b[0m"
        );
        assert_eq!(
            lines.line(Level::Warn, "ip", "hm"),
            "\x1b[1m\x1b[33mwarn\x1b[0m  \x1b[36mip:\x1b[0m  hm\n\x1b[0m"
        );
        assert_eq!(
            lines.line(Level::Trace, "lua", "x"),
            "trace\x1b[0m \x1b[36mlua:\x1b[0m x\n\x1b[0m"
        );
    }
}
