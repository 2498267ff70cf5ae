//! Options of every command that runs rules: what the engine is told, and
//! what rules may use.

use std::time::Duration;

use crate::event::profile::{CapPolicy, Checksums};
use crate::event::{Profile, Settings};
use crate::lua::Limits;

/// How engine and rules are run.
#[derive(Clone, Debug, clap::Args)]
pub struct EngineOptions {
    /// Defaults: those of Wero, or Haka 0.4's to the letter.
    #[arg(long, value_enum, default_value_t = ProfileName::Wero)]
    profile: ProfileName,
    /// Checksums of TCP, UDP and ICMP: by default those of the profile.
    #[arg(long, value_enum)]
    checksums: Option<ChecksumMode>,
    /// Let rules see the packets inside tunnels instead of the outer ones.
    #[arg(long, value_enum, default_value_t = Tunnels::Outer)]
    tunnels: Tunnels,
    /// CPU time that rules may take for one event.
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse_time)]
    event_budget: Duration,
    /// Memory of each Lua state.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_memory)]
    memory: usize,
    /// A cap of the engine: max_packets, max_flows, reassembly_bytes,
    /// reassembly_segments, hold_bytes, hold_segments, hold_time, hole_time,
    /// front_time (all three in milliseconds, on live traffic), kept_bytes, http_line_bytes,
    /// http_head_bytes, http_headers, http_requests, http_decoded_bytes or
    /// max_dns_queries, as a number;
    /// hold_policy, as release or drop; probe, as on or off.
    #[arg(long = "set", value_name = "CAP=VALUE", value_parser = parse_cap)]
    caps: Vec<CapSetting>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProfileName {
    Wero,
    Haka,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ChecksumMode {
    /// Wrong segments are left out, unless a sender's first ones all are.
    Auto,
    /// Wrong segments are left out.
    Verify,
    /// Nobody looks.
    Ignore,
}

impl ChecksumMode {
    pub(super) fn setting(self) -> Checksums {
        match self {
            ChecksumMode::Auto => Checksums::Auto,
            ChecksumMode::Verify => Checksums::Verify,
            ChecksumMode::Ignore => Checksums::Ignore,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tunnels {
    /// Rules see the packets as captured.
    Outer,
    /// Rules see the packets inside.
    Inspect,
}

/// One `--set`.
#[derive(Clone, Debug)]
struct CapSetting {
    name: String,
    value: CapValue,
}

#[derive(Clone, Copy, Debug)]
enum CapValue {
    Number(u32),
    Policy(CapPolicy),
    /// Whether first bytes tell what is spoken on unknown ports.
    Probe(bool),
}

impl EngineOptions {
    /// The engine's settings for captures.
    pub fn settings(&self) -> Settings {
        self.settings_over(|settings| settings.recorded = settings.profile == Profile::Wero)
    }

    /// As [`EngineOptions::settings`], where some defaults are others.
    pub fn settings_over(&self, defaults: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::new(match self.profile {
            ProfileName::Wero => Profile::Wero,
            ProfileName::Haka => Profile::Haka,
        });
        defaults(&mut settings);
        if let Some(mode) = self.checksums {
            settings.checksums = mode.setting();
        }
        settings.inspect_tunnels = self.tunnels == Tunnels::Inspect;
        for cap in &self.caps {
            match cap.value {
                CapValue::Policy(policy) => settings.hold_policy = policy,
                CapValue::Probe(on) => settings.defaults.probe = on,
                CapValue::Number(number) => {
                    if let Some(setting) = cap_of(&mut settings, &cap.name) {
                        *setting = number;
                    }
                }
            }
        }
        settings
    }

    /// What rules may use.
    pub fn limits(&self) -> Limits {
        Limits {
            event_time: self.event_budget,
            memory: self.memory,
            ..Limits::default()
        }
    }
}

fn cap_of<'a>(settings: &'a mut Settings, name: &str) -> Option<&'a mut u32> {
    Some(match name {
        "max_packets" => &mut settings.max_packets,
        "max_flows" => &mut settings.max_flows,
        "reassembly_bytes" => &mut settings.reassembly_bytes,
        "reassembly_segments" => &mut settings.reassembly_segments,
        "hold_bytes" => &mut settings.hold_bytes,
        "hold_segments" => &mut settings.hold_segments,
        "hold_time" => &mut settings.hold_time,
        "hole_time" => &mut settings.hole_time,
        "front_time" => &mut settings.front_time,
        "kept_bytes" => &mut settings.kept_bytes,
        "http_line_bytes" => &mut settings.http_line_bytes,
        "http_head_bytes" => &mut settings.http_head_bytes,
        "http_headers" => &mut settings.http_headers,
        "http_requests" => &mut settings.http_requests,
        "http_decoded_bytes" => &mut settings.http_decoded_bytes,
        "max_dns_queries" => &mut settings.max_dns_queries,
        _ => return None,
    })
}

/// The least that arenas need to work with: a packet in hand and those that
/// it leads to.
const FEWEST: u32 = 16;
/// The most records of one kind; more would be more than memory.
const MOST: u32 = 1 << 24;

/// `hold_bytes=65536`.
fn parse_cap(text: &str) -> Result<CapSetting, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "a cap is set as NAME=VALUE".to_owned())?;
    let value = if name == "hold_policy" {
        CapValue::Policy(match value {
            "release" => CapPolicy::Release,
            "drop" => CapPolicy::Drop,
            _ => return Err("hold_policy is release or drop".to_owned()),
        })
    } else if name == "probe" {
        CapValue::Probe(match value {
            "on" => true,
            "off" => false,
            _ => return Err("probe is on or off".to_owned()),
        })
    } else {
        if cap_of(&mut Settings::new(Profile::Wero), name).is_none() {
            return Err(format!("there is no cap '{name}'"));
        }
        let number: u32 = value
            .parse()
            .map_err(|_| format!("{name} is a whole number"))?;
        if name.starts_with("max_") && !(FEWEST..=MOST).contains(&number) {
            return Err(format!("{name} is from {FEWEST} to {MOST}"));
        }
        CapValue::Number(number)
    };
    Ok(CapSetting {
        name: name.to_owned(),
        value,
    })
}

/// A span with its unit: `20ms`, `1s`, `500us`.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text)?;
    let nanos = match unit {
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return Err("a time with its unit is needed: us, ms or s".to_owned()),
    };
    match number.checked_mul(nanos) {
        Some(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos)),
        _ => Err("out of range".to_owned()),
    }
}

/// Memory with its unit: `256MiB`, `64M`.
fn parse_memory(text: &str) -> Result<usize, String> {
    // The rule library itself needs about a megabyte.
    let bytes = usize::try_from(parse_size(text)?).ok();
    bytes
        .filter(|&bytes| bytes >= 4 << 20)
        .ok_or_else(|| "at least 4MiB are needed".to_owned())
}

/// A size with its unit: `256MiB`, `64k`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit.trim_end_matches("iB") {
        "k" | "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("a size with its unit is needed: KiB, MiB or GiB".to_owned()),
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "out of range".to_owned())
}

fn split_unit(text: &str) -> Result<(u64, &str), String> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number
        .parse()
        .map_err(|_| "a number with a unit is needed".to_owned())?;
    Ok((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(parse_time("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(parse_time("2 s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_size("64k"), Ok(64 << 10));
        assert_eq!(parse_memory("256MiB"), Ok(256 << 20));
        assert_eq!(parse_memory("1G"), Ok(1 << 30));
        for wrong in [
            "20",
            "ms",
            "-1ms",
            "0ms",
            "99999999999999999999s",
            "18446744073709551615s",
        ] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        for wrong in ["256", "MiB", "1MiB", "1B", "18446744073709551615G"] {
            assert!(parse_memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn caps_are_set_by_name() {
        assert!(parse_cap("hold_bytes=10").is_ok());
        assert!(parse_cap("hold_policy=drop").is_ok());
        for wrong in [
            "hold_bytes",
            "hold_bytes=x",
            "hold_policy=maybe",
            "no_cap=1",
            "max_packets=1",
        ] {
            assert!(parse_cap(wrong).is_err(), "{wrong}");
        }
    }
}
