//! A connection that a dialogue announces, such as FTP's of data.

use std::net::IpAddr;

use serde::Serialize;

/// Who opens the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The server, to an address that the client named.
    Active,
    /// The client, to an address that the server named.
    Passive,
}

/// A data connection that is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataFlow {
    pub mode: Mode,
    /// Absent where it is the control connection's (`EPSV`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    pub port: u16,
}
