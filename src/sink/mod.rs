//! Alerts, events and log lines outward.

pub mod alert_json;
pub mod alert_text;
mod colour;
pub mod ctime;
pub mod elasticsearch;
pub mod log_line;

pub use alert_json::alert_json;
pub use alert_text::{AlertText, Layout};
pub use ctime::{ctime, rfc3339_micros};
pub use elasticsearch::Elasticsearch;
pub use log_line::LogLines;
