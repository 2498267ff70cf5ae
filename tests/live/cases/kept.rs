//! Streams that a rule puts together itself, out of packets that it keeps.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::ends;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Link, Net};
use crate::relay::BAD;
use crate::wero::Run;

pub const CASES: &[Case] = &[
    Case {
        name: "kept::edited",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || both_ways(Link::Whole),
    },
    Case {
        name: "kept::edited-no-offload",
        pace: Pace::Slow,
        needs: &["ip", "ethtool"],
        run: || both_ways(Link::Segmented),
    },
    Case {
        name: "kept::edited-bad-link",
        pace: Pace::Slow,
        needs: &["ip"],
        run: || both_ways(Link::Lossy(BAD)),
    },
];

const PORT: u16 = 7100;
const LINES: usize = 20_000;

/// What each end writes, and what the other is to read.
fn lines(edited: bool) -> Vec<u8> {
    let line = |number: usize| match (number % 1000, edited) {
        (7, false) => "~\n".to_owned(),
        (7, true) => "a longer line than before\n".to_owned(),
        _ => format!("line {number}\n"),
    };
    (0..LINES).map(line).collect::<String>().into_bytes()
}

fn both_ways(link: Link) -> Outcome {
    let net = Net::new(link)?;
    let mut wero = Run::gateway(&net.gateway).rules("kept.lua").start()?;
    for family in BOTH {
        let (client, server) = ends::pair(&net, family, PORT)?;
        let ends = [(&client, "client"), (&server, "server")];
        thread::scope(|scope| {
            let tasks: Vec<_> = ends
                .into_iter()
                .flat_map(|(end, name)| {
                    [
                        (scope.spawn(move || write(end)), name, "writes"),
                        (scope.spawn(move || read(end)), name, "reads"),
                    ]
                })
                .collect();
            tasks.into_iter().try_for_each(|(task, name, does)| {
                let result = task.join().map_err(|_| "it panicked".to_owned());
                result
                    .and_then(|result| result)
                    .map_err(|why| format!("{family:?} {name} {does}: {why}"))
            })
        })?;
    }
    wero.stop()?;
    Ok(String::new())
}

fn write(mut end: &TcpStream) -> Result<(), String> {
    end.write_all(&lines(false))
        .and_then(|()| end.shutdown(Shutdown::Write))
        .map_err(|error| error.to_string())
}

fn read(mut end: &TcpStream) -> Result<(), String> {
    let mut got = Vec::new();
    end.read_to_end(&mut got)
        .map_err(|error| format!("{error} after {} bytes", got.len()))?;
    let wanted = lines(true);
    if got == wanted {
        return Ok(());
    }
    let same = got.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
    let (got, wanted) = (got.len(), wanted.len());
    Err(format!(
        "{got} bytes instead of {wanted}, differs at byte {same}"
    ))
}
