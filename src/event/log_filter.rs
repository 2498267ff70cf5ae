//! Which log messages are shown: a level for all sections, and levels of
//! their own for some.

use super::log::{Level, UnknownLevel};

/// Which messages are shown: a level for all sections, and some sections
/// with a level of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    default: Level,
    sections: Vec<(String, Level)>,
    /// The least and the most that any section shows, so that most messages
    /// are decided without looking for their section.
    least: Level,
    most: Level,
}

/// Why a level list or setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFilterError {
    #[error(transparent)]
    Level(#[from] UnknownLevel),
    /// `default` without a section: there is nothing to go back to.
    #[error("invalid default log level")]
    Default,
}

impl Default for LogFilter {
    /// `info` for every section.
    fn default() -> LogFilter {
        let level = Level::default();
        LogFilter {
            default: level,
            sections: Vec::new(),
            least: level,
            most: level,
        }
    }
}

impl LogFilter {
    /// Whether a message of `level` in `section` is shown.
    #[inline]
    pub fn enabled(&self, level: Level, section: &str) -> bool {
        level <= self.least || (level <= self.most && level <= self.level_of(section))
    }

    /// Applies a list such as `warn,tcp=debug` from left to right, as a
    /// whole or, when a part is wrong, not at all. `section=default` takes a
    /// section's own level away. A section need not exist yet.
    pub fn apply(&mut self, list: &str) -> Result<(), LogFilterError> {
        let mut changed = self.clone();
        for part in list.split(',') {
            let (section, level) = match part.split_once('=') {
                Some((section, level)) => (Some(section.trim()), level.trim()),
                None => (None, part.trim()),
            };
            let level = match level {
                "default" => None,
                name => Some(name.parse()?),
            };
            changed.set(level, section)?;
        }
        *self = changed;
        Ok(())
    }

    /// Sets the level of one section, or of all that have none of their own.
    /// No level gives a section the common one back; without a section that
    /// is an error.
    pub fn set(
        &mut self,
        level: Option<Level>,
        section: Option<&str>,
    ) -> Result<(), LogFilterError> {
        match (level, section) {
            (Some(level), None) => self.default = level,
            (None, None) => return Err(LogFilterError::Default),
            (level, Some(section)) => {
                self.sections.retain(|(known, _)| known != section);
                self.sections
                    .extend(level.map(|level| (section.to_owned(), level)));
            }
        }
        let levels = || {
            self.sections
                .iter()
                .map(|&(_, level)| level)
                .chain([self.default])
        };
        self.least = levels().min().unwrap_or(self.default);
        self.most = levels().max().unwrap_or(self.default);
        Ok(())
    }

    fn level_of(&self, section: &str) -> Level {
        let own = self.sections.iter().find(|(known, _)| known == section);
        own.map_or(self.default, |&(_, level)| level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_levels_of_their_own() {
        let mut filter = LogFilter::default();
        assert!(filter.enabled(Level::Info, "tcp") && !filter.enabled(Level::Debug, "tcp"));
        filter
            .apply("warning, tcp=debug,later = fatal")
            .expect("a sound list");
        assert!(filter.enabled(Level::Debug, "tcp") && !filter.enabled(Level::Trace, "tcp"));
        assert!(filter.enabled(Level::Warn, "core") && !filter.enabled(Level::Info, "core"));
        assert!(filter.enabled(Level::Fatal, "later") && !filter.enabled(Level::Error, "later"));
    }

    #[test]
    fn default_gives_the_common_level_back() {
        let mut filter = LogFilter::default();
        filter.apply("tcp=trace,error").expect("a sound list");
        filter.set(None, Some("tcp")).expect("a section");
        assert!(!filter.enabled(Level::Warn, "tcp"));
        filter.set(Some(Level::Debug), None).expect("a level");
        assert!(filter.enabled(Level::Debug, "tcp"));
        assert_eq!(filter.set(None, None), Err(LogFilterError::Default));
        assert_eq!(filter.apply("tcp=info,tcp=default"), Ok(()));
        assert!(filter.enabled(Level::Debug, "tcp"));
    }

    #[test]
    fn a_wrong_list_changes_nothing() {
        let mut filter = LogFilter::default();
        for (list, text) in [
            ("debug,tcp=loud", "invalid logging level: loud"),
            ("", "invalid logging level: "),
            ("debug,", "invalid logging level: "),
            ("default", "invalid default log level"),
        ] {
            assert_eq!(filter.apply(list).expect_err("wrong").to_string(), text);
            assert_eq!(filter, LogFilter::default());
        }
    }
}
