//! Prints DNS messages as they are found, without blocking the caller:
//! `cargo run --features async --example sessions_async -- CAPTURE`, or the
//! name of a network interface.

use std::path::Path;

use wero::analysis::driver::SessionEvent;
use wero::analysis::extract::{AutoDetectEncap, FiveTuple};
use wero::capture::asynchronous::AsyncCapture;
use wero::proto::dns;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args()
        .nth(1)
        .ok_or("which capture or interface?")?;
    let capture = match Path::new(&name).exists() {
        true => AsyncCapture::open(Path::new(&name))?,
        false => AsyncCapture::open_interface(&name)?,
    };
    let extractor = AutoDetectEncap::new(FiveTuple::bidirectional());
    let mut events = capture.datagram_stream(extractor, dns::Parser::default());
    // Any executor will do.
    pollster::block_on(async {
        while let Some(event) = events.next().await {
            if let SessionEvent::Application { key, message, .. } = event? {
                let message = serde_json::to_string(&message)?;
                println!("{} {} {message}", key.a, key.b);
            }
        }
        Ok(())
    })
}
