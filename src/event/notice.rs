//! What the engine has to say on its own: log lines and alerts, in order.

use super::Level;
use crate::addr::Addr;

/// Something to be logged or alerted, in the order in which it arose.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    Log {
        level: Level,
        section: &'static str,
        text: String,
    },
    Alert(NativeAlert),
}

/// An alert that a dissector raises by itself (profile `haka`).
#[derive(Clone, Debug, PartialEq)]
pub struct NativeAlert {
    pub severity_low: bool,
    pub description: String,
    /// Source and destination, each with the service text if there is one.
    pub endpoints: Option<[(Addr, Option<String>); 2]>,
}
