//! `cargo run --example generate`: writes every capture of the catalogue to
//! its place in the source tree.

use std::fs;
use std::io;
use std::path::Path;

#[path = "mod.rs"]
mod captures;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for capture in captures::catalog::all() {
        let path = root.join(&capture.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let bytes = capture.recording.to_pcap();
        let changed = fs::read(&path).map_or(true, |committed| committed != bytes);
        if changed {
            fs::write(&path, bytes)?;
            println!("wrote {}", capture.path);
        }
    }
    Ok(())
}
