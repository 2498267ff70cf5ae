//! Lists the flows of a capture with nothing but the library:
//! `cargo run --example flows -- CAPTURE`.

use std::path::Path;

use wero::analysis::extract::{AutoDetectEncap, FiveTuple};
use wero::analysis::tracker::FlowEvent;
use wero::capture::file::CaptureReader;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which capture?")?;
    let capture = CaptureReader::open(Path::new(&path))?;
    let mut events = capture.flow_events(AutoDetectEncap::new(FiveTuple::bidirectional()));
    for event in events.by_ref() {
        if let FlowEvent::Ended {
            key,
            reason,
            stats,
            history,
            ..
        } = event?
        {
            let [sent, answered] = stats.packets;
            println!(
                "{:?} {} {} {sent}/{answered} packets, {reason:?} {history}",
                key.proto, key.a, key.b
            );
        }
    }
    println!("{:?}", events.driver().stats());
    Ok(())
}
