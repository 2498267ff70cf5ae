//! One end of a flow: an address and a port.

use std::fmt;

use crate::addr::Addr;

/// One end of a flow. The port is 0 where the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub addr: Addr,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    /// `10.0.0.1:80` and `[2001:db8::1]:80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr.is_v4() {
            true => write!(f, "{}:{}", self.addr, self.port),
            false => write!(f, "[{}]:{}", self.addr, self.port),
        }
    }
}
