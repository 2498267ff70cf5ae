#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level { Fatal, Error, Warn, Info, Debug, Trace }
