//! One network namespace: made, entered and deleted.
//!
//! A thread can stand in a namespace of its own, so servers and clients of the
//! tests are threads; the sockets that they open stay where they were opened.
//! Not here: links and addresses (`net`).

use std::fs::File;
use std::io;
use std::net::SocketAddrV6;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Names begin so; what follows is the process that made it.
const PREFIX: &str = "wero-live-";

/// Deleted when it is dropped.
pub struct Namespace {
    pub name: String,
    file: File,
}

impl Namespace {
    pub fn create(role: &str) -> Result<Namespace, String> {
        let name = format!("{PREFIX}{}-{role}", std::process::id());
        // Left over by a case that did not come to its end.
        drop(ip(&["netns", "del", &name]));
        ip(&["netns", "add", &name])?;
        let path = format!("/run/netns/{name}");
        let file = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        let namespace = Namespace { name, file };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// `ip` with these arguments, inside.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, String> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Writes a setting below `/proc/sys`.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), String> {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        self.inside(|| std::fs::write(&path, value))
            .map_err(|error| format!("{setting}={value}: {error}"))
    }

    /// The address that a device has on its link alone, once it has one.
    pub fn link_local(&self, device: &str) -> Result<SocketAddrV6, String> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            let listing = self
                .inside(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6"))
                .map_err(|error| error.to_string())?;
            let mut lines = listing.lines();
            let line = lines.find(|line| line.starts_with("fe80") && line.ends_with(device));
            if let Some(address) = line.and_then(read_address) {
                return Ok(address);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{device} got no link-local address"))
    }

    /// Does some work on a thread inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let descriptor = self.file.as_raw_fd();
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                enter(descriptor).expect("root may enter a namespace");
                work()
            });
            match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A program that will run inside and that ends with the thread that
    /// started it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let descriptor = self.file.as_raw_fd();
        // SAFETY: between fork and exec only system calls are made, and the
        // descriptor is open in the child, which has a copy of all of them.
        unsafe {
            command.pre_exec(move || {
                end_with_parent()?;
                enter(descriptor)
            });
        }
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("{error}");
        }
    }
}

/// A line of the kernel's list: the address in hexadecimal, the number of its
/// device in hexadecimal, and more.
fn read_address(line: &str) -> Option<SocketAddrV6> {
    let mut columns = line.split_whitespace();
    let address = u128::from_str_radix(columns.next()?, 16).ok()?;
    let device = u32::from_str_radix(columns.next()?, 16).ok()?;
    Some(SocketAddrV6::new(address.into(), 0, 0, device))
}

/// A program outside of all namespaces that ends with the thread that started
/// it.
pub fn outside(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(end_with_parent);
    }
    command
}

/// Deletes namespaces that earlier runs left behind because they were killed.
pub fn sweep() {
    let Ok(listing) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            drop(ip(&["netns", "del", &name]));
        }
    }
}

/// Deletes those of this process: for an end in which nothing is dropped.
pub fn delete_own() {
    let own = format!("{PREFIX}{}-", std::process::id());
    let Ok(listing) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&own) {
            drop(ip(&["netns", "del", &name]));
        }
    }
}

/// Whether namespaces can be made here, and if not why.
pub fn available() -> Result<(), String> {
    // SAFETY: the call takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Err("not root".to_string());
    }
    let namespace =
        Namespace::create("probe").map_err(|error| format!("no network namespaces: {error}"))?;
    namespace
        .ip(&[
            "link", "add", "one", "type", "veth", "peer", "name", "other",
        ])
        .map(drop)
        .map_err(|error| format!("no veth links: {error}"))
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| format!("ip: {error} (package iproute2)"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), errors.trim()))
}

fn enter(namespace: i32) -> io::Result<()> {
    // SAFETY: a plain system call; a wrong descriptor gives an error.
    if unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A test that is killed must leave no server behind.
fn end_with_parent() -> io::Result<()> {
    // SAFETY: a plain system call that sets one number of this process.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
