//! What a run did, in a few aligned lines.

use std::fmt::Write;
use std::time::Duration;

use crate::core::Stats;
use crate::event::DropReason;

/// The figures of a run.
pub struct Summary<'a> {
    /// One for each worker.
    pub stats: &'a [Stats],
    pub alerts: u64,
    pub elapsed: Duration,
    /// Rules only looked on.
    pub monitor: bool,
    /// Every counter that is not zero.
    pub details: bool,
}

impl Summary<'_> {
    /// The lines, each with its line end.
    pub fn text(&self) -> String {
        let mut table = Table::default();
        let packets = self.sum(|stats| stats.packets);
        let bytes = self.sum(|stats| stats.bytes);
        table.row("packets", count(packets), &rate(packets, self.elapsed));
        table.row("bytes", count(bytes), "");
        table.row("flows", count(self.sum(|stats| stats.flows)), "");
        table.row("alerts", count(self.alerts), "");
        self.verdicts(&mut table);
        let errors = self.sum(|stats| stats.rule_errors);
        let stopped = self.sum(|stats| stats.rules_stopped);
        let note = match stopped {
            0 => String::new(),
            some => format!("{} stopped at their budget", count(some)),
        };
        table.row("rule errors", count(errors), &note);
        if self.details {
            for (name, value) in self.counters() {
                if value > 0 {
                    table.row(name, count(value), "");
                }
            }
        }
        table.text()
    }

    fn verdicts(&self, table: &mut Table) {
        let note = if self.monitor {
            "would have been; nothing was changed"
        } else {
            ""
        };
        for (name, value) in [
            ("rewritten", self.sum(|stats| stats.rewritten)),
            ("injected", self.sum(|stats| stats.injected)),
        ] {
            if value > 0 {
                table.row(name, count(value), note);
            }
        }
        let dropped = self.sum(|stats| stats.drops.total());
        table.row(
            "dropped",
            count(dropped),
            if dropped > 0 { note } else { "" },
        );
        for &reason in DropReason::ALL {
            let value = self.sum(|stats| stats.drops[reason as usize]);
            if value > 0 {
                table.row(&format!("  {}", reason.name()), count(value), "");
            }
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        macro_rules! counters {
            ($($name:literal $field:ident,)*) => {
                vec![$(($name, self.sum(|stats| stats.$field)),)*]
            };
        }
        counters! {
            "accepted" accepted,
            "malformed" malformed,
            "undecoded link" undecoded_link,
            "unknown protocol" unknown_protocol,
            "tunnels entered" tunnels,
            "fragments" fragments,
            "fragment conflicts" fragment_conflicts,
            "flows evicted" flows_evicted,
            "flows refused" flows_refused,
            "flows mid-stream" midstream_flows,
            "unexpected segments" unexpected_segments,
            "ignored RST" ignored_rst,
            "bad checksums" bad_checksums,
            "out of window" out_of_window,
            "retransmissions" retransmissions,
            "conflicts" conflicts,
            "reassembly caps" reassembly_caps,
            "hold caps" hold_caps,
            "hold timeouts" hold_timeouts,
            "sent ahead" sent_ahead,
            "fronts sent" sent_fronts,
            "unseen holes" unseen_holes,
            "ACKs on behalf" behalf_acks,
            "ACKs of held bytes" vouched_acks,
            "ACKs copied" ack_copies,
            "timer caps" timer_caps,
            "kept caps" kept_caps,
            "waits for a window" window_waits,
            "window caps" window_caps,
            "forgotten bytes" forgotten_bytes,
            "unjudged" unjudged,
            "packet caps" packet_cap,
        }
    }

    fn sum(&self, field: impl Fn(&Stats) -> u64) -> u64 {
        self.stats.iter().map(field).sum()
    }
}

/// Names to the left, numbers to the right, notes behind.
#[derive(Default)]
struct Table {
    rows: Vec<(String, String, String)>,
}

impl Table {
    fn row(&mut self, name: &str, value: String, note: &str) {
        self.rows.push((name.to_owned(), value, note.to_owned()));
    }

    fn text(&self) -> String {
        let names = self.rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
        let values = self.rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value, note) in &self.rows {
            let gap = if note.is_empty() { "" } else { "  " };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<names$}  {value:>values$}{gap}{note}");
        }
        text
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rate(packets: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    match packets > 0 && seconds > 0.0 {
        true => format!("{} a second", count((packets as f64 / seconds) as u64)),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_all_workers_are_summed_and_aligned() {
        let mut one = Stats {
            packets: 1_200,
            bytes: 90_000,
            flows: 3,
            ..Stats::default()
        };
        one.drops[DropReason::Rule as usize] = 7;
        let other = Stats {
            packets: 34,
            malformed: 2,
            ..Stats::default()
        };
        let summary = Summary {
            stats: &[one, other],
            alerts: 5,
            elapsed: Duration::from_secs(2),
            monitor: false,
            details: true,
        };
        assert_eq!(
            summary.text(),
            "packets       1,234  617 a second\n\
             bytes        90,000\n\
             flows             3\n\
             alerts            5\n\
             dropped           7\n\
             \x20 rule            7\n\
             rule errors       0\n\
             malformed         2\n"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0, 999, 1_000, 12_345_678].map(count).as_slice()
        );
    }
}
