//! Log levels, as rules, command line and log lines name them.

use std::str::FromStr;

/// How grave a log message is; `Fatal` is the least, `Trace` the greatest, so
/// that a message is shown when its level is at most the one chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Fatal,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// No level has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid logging level: {0}")]
pub struct UnknownLevel(pub String);

impl Level {
    /// The name in log lines and level lists.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Fatal => "fatal",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Takes `warning` for `warn`: Haka's Lua functions call it so, its
    /// command line the other.
    fn from_str(name: &str) -> Result<Level, UnknownLevel> {
        Ok(match name {
            "fatal" => Level::Fatal,
            "error" => Level::Error,
            "warn" | "warning" => Level::Warn,
            "info" => Level::Info,
            "debug" => Level::Debug,
            "trace" => Level::Trace,
            other => return Err(UnknownLevel(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_levels() {
        use Level::*;
        for level in [Fatal, Error, Warn, Info, Debug, Trace] {
            assert_eq!(level.name().parse(), Ok(level));
        }
        assert_eq!("warning".parse(), Ok(Warn));
        let unknown = "Loud".parse::<Level>().expect_err("no such level");
        assert_eq!(unknown.to_string(), "invalid logging level: Loud");
    }
}
