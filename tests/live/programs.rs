//! Servers of others, set up for a test: nginx, dnsmasq, iperf3, openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::body::Body;
use crate::net::{BOTH, Net};
use crate::process::{self, Process};

const START: Duration = Duration::from_secs(10);

/// nginx with files to fetch and a folder to put files into.
pub struct Nginx {
    folder: TempDir,
    _process: Process,
}

impl Nginx {
    /// Serves `/SIZE` for each size, on port 80.
    pub fn start(net: &Net, sizes: &[usize]) -> Result<Nginx, String> {
        let folder = folder()?;
        let at = folder.path().display();
        for part in ["www", "put", "temp"] {
            let part = folder.path().join(part);
            fs::create_dir(&part).map_err(|error| format!("{}: {error}", part.display()))?;
        }
        for size in sizes {
            let path = folder.path().join("www").join(size.to_string());
            write(&path, &file(*size).bytes())?;
        }
        // One process, so that none is left when it is killed.
        let configuration = format!(
            "user root; daemon off; master_process off; pid {at}/pid; error_log stderr error;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
               access_log off; sendfile on; keepalive_timeout 60; keepalive_requests 100000;\n\
               client_max_body_size 200m; client_body_temp_path {at}/temp;\n\
               types {{ text/html html; }} default_type text/plain;\n\
               server {{\n\
                 listen 10.77.2.2:80; listen [fd77:2::2]:80; root {at}/www;\n\
                 location /put/ {{ root {at}; dav_methods PUT; }}\n\
               }}\n\
             }}\n"
        );
        let path = folder.path().join("nginx.conf");
        write(&path, configuration.as_bytes())?;
        let mut command = net.server.command("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&path);
        let mut process = Process::start(&mut command)?;
        listening(net, &mut process, 80)?;
        Ok(Nginx {
            folder,
            _process: process,
        })
    }

    /// Where a file lies that was put there.
    pub fn put(&self, name: &str) -> PathBuf {
        self.folder.path().join("put").join(name)
    }

    /// Where a file lies that is served.
    pub fn served(&self, name: &str) -> PathBuf {
        self.folder.path().join("www").join(name)
    }
}

/// What is served under its size.
pub fn file(size: usize) -> Body {
    Body { seed: 1, size }
}

/// Answers every name below `test.`, and one with more than a datagram holds.
pub fn dnsmasq(net: &Net) -> Result<Process, String> {
    let mut command = net.server.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--no-daemon",
        "--user=root",
        "--pid-file",
        "--bind-interfaces",
        "--address=/test/10.9.8.7",
        "--address=/test/fd09::7",
    ]);
    // Eight texts of 200 bytes: over UDP they are cut, so dig comes again
    // over TCP.
    for number in 0..8 {
        let text = format!("{number}").repeat(200);
        command.arg(format!("--txt-record=long.test,{text}"));
    }
    let mut process = Process::start(&mut command)?;
    listening(net, &mut process, 53)?;
    Ok(process)
}

pub fn iperf3(net: &Net) -> Result<Process, String> {
    let mut process = Process::start(net.server.command("iperf3").arg("-s"))?;
    listening(net, &mut process, 5201)?;
    Ok(process)
}

/// `openssl s_server` with a certificate made for the test; `-www` answers
/// requests with a page about the connection.
pub struct OpenSsl {
    _folder: TempDir,
    _process: Process,
}

impl OpenSsl {
    pub fn start(net: &Net) -> Result<OpenSsl, String> {
        let folder = folder()?;
        let key = folder.path().join("key.pem");
        let certificate = folder.path().join("certificate.pem");
        let mut make = net.server.command("openssl");
        make.args(["req", "-x509", "-nodes", "-subj", "/CN=live.test"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-days", "2", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        process::run(&mut make)?;
        let mut command = net.server.command("openssl");
        command
            .args(["s_server", "-accept", "443", "-www", "-quiet", "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate);
        let mut process = Process::start(&mut command)?;
        listening(net, &mut process, 443)?;
        Ok(OpenSsl {
            _folder: folder,
            _process: process,
        })
    }
}

/// Waits until somebody listens on a port of the server, for both families.
fn listening(net: &Net, process: &mut Process, port: u16) -> Result<(), String> {
    process.wait_until("listening", START, |_| {
        net.server.inside(|| {
            BOTH.iter().all(|family| {
                std::net::TcpStream::connect_timeout(&family.at(port), Duration::from_secs(1))
                    .is_ok()
            })
        })
    })
}

fn folder() -> Result<TempDir, String> {
    tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
