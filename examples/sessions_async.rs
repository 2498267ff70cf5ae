//! Prints DNS messages as they are found, without blocking the caller:
//! `cargo run --features async --example sessions_async -- CAPTURE`.

use std::path::Path;

use wero::analysis::driver::SessionEvent;
use wero::analysis::extract::{AutoDetectEncap, FiveTuple};
use wero::capture::asynchronous::AsyncCapture;
use wero::proto::dns;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which capture?")?;
    let capture = AsyncCapture::open(Path::new(&path))?;
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
