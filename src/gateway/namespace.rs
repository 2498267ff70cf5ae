//! Enters another network namespace, at the very start of a process.
//!
//! A thread that is in a namespace passes it on to the threads and programs
//! that it starts; others stay where they are.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Why a namespace was not entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    #[error(
        "there is no network namespace '{name}': looked for {path}; name one of `ip netns`, a process id, or a path"
    )]
    Missing { name: String, path: String },
    #[error("cannot open the network namespace {path}: {source}")]
    Open { path: String, source: io::Error },
    #[error("cannot enter the network namespace {path}: {source}{hint}")]
    Enter {
        path: String,
        source: io::Error,
        hint: &'static str,
    },
}

/// Moves the calling thread, and what it starts from now on, into the network
/// namespace that a name of `ip netns`, a process id or a path stands for.
pub fn enter(name: &str) -> Result<(), NamespaceError> {
    let path = path_of(name);
    let shown = path.display().to_string();
    let file = File::open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => NamespaceError::Missing {
            name: name.to_owned(),
            path: shown.clone(),
        },
        _ => NamespaceError::Open {
            path: shown.clone(),
            source,
        },
    })?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| {
        NamespaceError::Enter {
            path: shown,
            source: error.into(),
            hint: match error {
                rustix::io::Errno::PERM => " (CAP_SYS_ADMIN is needed: run as root)",
                rustix::io::Errno::INVAL => " (it is no network namespace)",
                _ => "",
            },
        }
    })
}

fn path_of(name: &str) -> PathBuf {
    if name.contains('/') {
        return PathBuf::from(name);
    }
    let named = PathBuf::from("/run/netns").join(name);
    match name.parse::<u32>() {
        Ok(process) if !named.exists() => PathBuf::from(format!("/proc/{process}/ns/net")),
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_processes_and_paths_are_told_apart() {
        assert_eq!(path_of("blue"), PathBuf::from("/run/netns/blue"));
        assert_eq!(path_of("./ns"), PathBuf::from("./ns"));
        assert_eq!(path_of("4194305"), PathBuf::from("/proc/4194305/ns/net"));
    }

    #[test]
    fn a_namespace_that_is_missing_is_told() {
        let error = enter("no-such-namespace").expect_err("it is not there");
        assert!(error.to_string().contains("/run/netns/no-such-namespace"));
        let error = enter("/dev/null").expect_err("a device is no namespace");
        assert!(matches!(error, NamespaceError::Enter { .. }), "{error}");
    }
}
