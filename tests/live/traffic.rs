//! Traffic that cases have in common, each kind with its own judgement.

use std::net::IpAddr;
use std::time::Duration;

use crate::body::{Body, Comparison, compare};
use crate::clients::{Direction, Exchange};
use crate::net::{Family, Net};
use crate::process;
use crate::programs::{self, Nginx};

/// Down and up for each size, each as it is and in chunks if chunks are given.
pub fn exchanges(
    sizes: &[usize],
    replacement: Option<usize>,
    chunk: Option<usize>,
) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        for direction in [Direction::Down, Direction::Up] {
            let exchange = Exchange {
                direction,
                body: Body {
                    seed: number as u64 + 3,
                    size: *size,
                },
                replacement,
                chunk: None,
            };
            exchanges.push(exchange);
            if chunk.is_some() {
                exchanges.push(Exchange { chunk, ..exchange });
            }
        }
    }
    exchanges
}

/// curl fetches a file from nginx.
pub fn fetch(net: &Net, family: Family, size: usize) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("fetched");
    let mut curl = net.client.command("curl");
    curl.args(["-sS", "-f", "-g", "--max-time", "50", "-o"])
        .arg(&path)
        .arg(family.url(&format!("/{size}")));
    process::run(&mut curl)?;
    same_file(&path, size).map_err(|why| format!("{family:?} {size} bytes down: {why}"))
}

/// curl puts a file to nginx.
pub fn put(net: &Net, nginx: &Nginx, family: Family, size: usize) -> Result<(), String> {
    let name = format!("{family:?}-{size}");
    let mut curl = net.client.command("curl");
    curl.args(["-sS", "-f", "-g", "--max-time", "50", "-T"])
        .arg(nginx.served(&size.to_string()))
        .arg(family.url(&format!("/put/{name}")));
    process::run(&mut curl)?;
    same_file(&nginx.put(&name), size).map_err(|why| format!("{family:?} {size} bytes up: {why}"))
}

fn same_file(path: &std::path::Path, size: usize) -> Result<(), String> {
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut comparison = Comparison::with(programs::file(size).bytes().to_vec());
    compare(file, &mut comparison).map_err(|error| error.to_string())?;
    comparison.finish()
}

/// Names by datagrams, and one whose answer needs a connection.
pub fn dig(net: &Net, family: Family) -> Result<(), String> {
    let ask = |arguments: &[&str]| {
        let mut dig = net.client.command("dig");
        dig.arg(format!("@{}", family.server()))
            .args(["+short", "+time=3", "+tries=2", "+noedns"])
            .args(arguments);
        process::run(&mut dig)
    };
    for (kind, expected) in [("A", "10.9.8.7"), ("AAAA", "fd09::7")] {
        let answer = ask(&["name.test", kind])?;
        if answer.trim() != expected {
            return Err(format!("dig {kind} over {family:?}: {answer:?}"));
        }
    }
    let answer = ask(&["long.test", "TXT"])?;
    if answer.lines().count() != 8 {
        return Err(format!("dig TXT over {family:?}: {answer:?}"));
    }
    Ok(())
}

/// A TLS handshake, and a page through it.
pub fn handshake(net: &Net, family: Family) -> Result<(), String> {
    let address = match family.server() {
        IpAddr::V4(address) => format!("https://{address}/"),
        IpAddr::V6(address) => format!("https://[{address}]/"),
    };
    let mut curl = net.client.command("curl");
    curl.args(["-sS", "-f", "-k", "-g", "--max-time", "20", &address]);
    let page = process::run(&mut curl)?;
    if page.contains("Cipher") {
        Ok(())
    } else {
        Err(format!(
            "openssl s_server over {family:?} answered {page:?}"
        ))
    }
}

/// Eight streams each way for a while; gives Mbit/s down.
pub fn iperf3(net: &Net, family: Family, time: Duration) -> Result<u64, String> {
    let server = family.server().to_string();
    let seconds = time.as_secs().max(1).to_string();
    let measure = |reverse: &[&str]| -> Result<u64, String> {
        let mut command = net.client.command("iperf3");
        command.args(["-c", &server, "-t", &seconds, "-P", "8", "-f", "m"]);
        command.args(reverse);
        // Its server takes one client at a time, and turns away whoever comes
        // while it puts the last one's things away.
        let mut output = process::run(&mut command);
        for _ in 0..5 {
            if output.is_err() {
                std::thread::sleep(Duration::from_millis(300));
                output = process::run(&mut command);
            }
        }
        let output = output?;
        let line = output
            .lines()
            .find(|line| line.contains("SUM") && line.contains("receiver"));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        let unit = words.iter().position(|word| *word == "Mbits/sec");
        unit.and_then(|at| words.get(at.checked_sub(1)?)?.parse::<f64>().ok())
            .map(|rate| rate as u64)
            .ok_or_else(|| format!("iperf3 said {output}"))
    };
    let up = measure(&[])?;
    let down = measure(&["-R"])?;
    if up == 0 || down == 0 {
        return Err(format!(
            "iperf3 over {family:?}: {up} up, {down} Mbit/s down"
        ));
    }
    Ok(down)
}
