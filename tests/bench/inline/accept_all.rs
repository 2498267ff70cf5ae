//! Accepts every packet of a queue and does nothing else: what the kernel's
//! path costs, against which `tests/bench/inline/run.sh` holds the engine.
//! The argument is the number of the queue; a signal ends it.

use std::process::ExitCode;
use std::time::Duration;

use wero::capture::nfqueue::{Config, Queue, QueueError};

fn main() -> ExitCode {
    let number = std::env::args().nth(1).and_then(|text| text.parse().ok());
    match number
        .ok_or("which queue?".to_owned())
        .and_then(|number| accept_all(number).map_err(|error| error.to_string()))
    {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("accept_all: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Never {}

fn accept_all(number: u16) -> Result<Never, QueueError> {
    let mut queue = Queue::open(&Config {
        number,
        ..Config::default()
    })?;
    eprintln!("ready: {}", queue.granted());
    loop {
        let taken = queue.receive(Duration::from_secs(1))?;
        for index in 0..taken {
            if let Some(id) = queue.packet(index).map(|packet| packet.id) {
                queue.accept(id, None);
            }
        }
    }
}
