//! What a run cost: CPU time of this thread, memory of this process.
//!
//! Wall time would count whoever shares the machine, so nothing here reads it.

#![allow(unsafe_code)]

/// CPU time that this thread has used, in nanoseconds.
pub fn cpu_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live local, and every thread has the clock.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "Linux has a CPU clock for every thread");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Memory of this process that lies in RAM, in bytes (`VmRSS`, proc(5)).
#[allow(clippy::disallowed_methods)] // Outside the engine.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("proc(5) gives VmRSS in kB") * 1024
}

/// The middle one; of an even number, the lower of the two.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}
