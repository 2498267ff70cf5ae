//! `make fuzz`: mutates the saved inputs and runs the bodies on them.
//!
//! A plain mutation loop on the stable toolchain, without coverage: it finds
//! what random damage finds. What crashes is saved beside the corpus, where
//! `cargo test` runs it from then on. Arguments: seconds for each target,
//! then the targets (all of them if none is named).

#[path = "targets.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use targets::{Body, TARGETS};

/// Longest input made.
const LONGEST: usize = 4096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let wanted: Vec<String> = arguments.collect();
    let mut crashed = false;
    for &(name, body) in TARGETS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name))
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let (runs, crash) = fuzz(&folder, body, Duration::from_secs(seconds));
        match &crash {
            None => println!("{name}: {runs} inputs, no crash"),
            Some(path) => println!(
                "{name}: crashed after {runs} inputs; saved as {}",
                path.display()
            ),
        }
        crashed |= crash.is_some();
    }
    std::process::exit(i32::from(crashed));
}

fn fuzz(folder: &Path, body: Body, time: Duration) -> (u64, Option<PathBuf>) {
    let mut seeds: Vec<Vec<u8>> = fs::read_dir(folder)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| fs::read(entry.path()).ok())
                .collect()
        })
        .unwrap_or_default();
    seeds.push(Vec::new());
    let mut random = Random(std::process::id().into());
    let (start, mut runs) = (Instant::now(), 0);
    while start.elapsed() < time {
        let seed = random.below(seeds.len());
        let input = mutate(&seeds[seed], &mut random);
        runs += 1;
        if catch_unwind(|| body(&input)).is_err() {
            let path = folder.join(format!("crash-{runs}"));
            if let Err(error) = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &input)) {
                eprintln!("cannot save the input: {error}");
            }
            return (runs, Some(path));
        }
    }
    (runs, None)
}

/// Flips, overwrites, repeats, removes, inserts and appends a few times.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        match random.below(6) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => {
                input[at] = [0, 1, 0x7f, 0x80, 0xff, random.byte()][random.below(6)]
            }
            2 => {
                let end = (at + random.below(16)).min(input.len());
                input.drain(at..end);
            }
            3 => {
                let piece = input[at..(at + random.below(64)).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let piece: Vec<u8> = (0..random.below(16)).map(|_| random.byte()).collect();
                input.splice(at..at, piece);
            }
            _ => input.extend((0..random.below(128)).map(|_| random.byte())),
        }
    }
    input.truncate(LONGEST);
    input
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}
