//! Why an interface cannot be listened to, said so that it can be mended.

use std::io;

/// Why there are no packets of an interface.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    #[error("there is no interface '{name}' here, but {}", list(.there))]
    Unknown { name: String, there: Vec<String> },

    #[error(
        "not permitted to listen on '{name}' ({source}): this needs CAP_NET_RAW; \
         run as root, or `setcap cap_net_raw+ep` on the program"
    )]
    NotPermitted { name: String, source: io::Error },

    #[error("interface '{name}' is down or gone: `ip link set {name} up`")]
    Down { name: String },

    #[error("cannot listen on '{name}': {source}")]
    System { name: String, source: io::Error },
}

impl InterfaceError {
    pub(super) fn of(name: &str, source: io::Error) -> InterfaceError {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => InterfaceError::NotPermitted { name, source },
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => InterfaceError::Down { name },
            _ => InterfaceError::System { name, source },
        }
    }

    pub(super) fn unknown(name: &str) -> InterfaceError {
        InterfaceError::Unknown {
            name: name.to_owned(),
            there: names(),
        }
    }
}

/// The interfaces of the thread's network namespace.
fn names() -> Vec<String> {
    let list = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let name = |line: &str| Some(line.split_once(':')?.0.trim().to_owned());
    list.lines().filter_map(name).collect()
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none at all".to_owned(),
        names => names.join(", "),
    }
}
