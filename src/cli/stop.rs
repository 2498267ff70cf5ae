//! The end that a signal asks for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::Failure;

/// Set by signals that ask for the end. More of them change nothing, since
/// some senders (a terminal, `timeout`) send two: the end comes within seconds,
/// and leaves the firewall as it was.
pub fn on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, Arc::clone(&stop)).map_err(|error| {
            Failure::new(Failure::RUN, format!("cannot wait for signals: {error}"))
        })?;
    }
    Ok(stop)
}
