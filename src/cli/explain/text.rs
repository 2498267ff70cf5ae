//! The story of a packet or flow as readable text.

use std::fmt::Write as _;

use crate::analysis::explain::story::{
    Account, By, Change, FlowAccount, Line, Outcome, Step, Stream,
};
use crate::analysis::explain::{Layers, Told};
use crate::sink::rfc3339_micros;
use crate::time::Timestamp;

/// Everything about one packet.
pub fn packet(account: &Account) -> String {
    let mut text = format!(
        "packet {}: {}, {} bytes",
        account.packet,
        rfc3339_micros(Timestamp(account.timestamp)),
        account.length
    );
    if account.captured as u64 != u64::from(account.length) {
        let _ = write!(text, " ({} captured)", account.captured);
    }
    text.push_str("\n\ndecoding\n");
    text.push_str(&layers(&account.decoding, "  "));
    if let Some(known) = &account.flow {
        text.push('\n');
        text.push_str(&flow_head(known));
    }
    text.push_str("\nevents\n");
    text.push_str(&steps(account, account.packet));
    text.push_str("\nbytes\n");
    text.push_str(&bytes(account));
    text.push('\n');
    text.push_str(&outcome(account));
    text
}

/// A line for each packet of a flow, with its events below.
pub fn flow(number: u64, told: &Told) -> String {
    let mut text = String::new();
    if let Some(known) = told
        .accounts
        .iter()
        .find_map(|account| account.flow.as_ref())
    {
        let _ = writeln!(
            text,
            "flow {number}: {} {} -> {}",
            known.protocol, known.client, known.server
        );
    }
    for account in &told.accounts {
        let Some(known) = &account.flow else { continue };
        let arrow = if known.to_server { "->" } else { "<-" };
        let _ = write!(
            text,
            "\npacket {} {arrow} {}",
            account.packet,
            summary(account)
        );
        let _ = writeln!(
            text,
            ", {}: {}",
            change_of(known.state_before, known.state_after),
            short_outcome(account)
        );
        text.push_str(&steps(account, account.packet));
    }
    if told.left_out > 0 {
        let _ = writeln!(text, "\n{} more packets are left out", told.left_out);
    }
    text
}

fn layers(layers: &Layers, indent: &str) -> String {
    let mut text = String::new();
    for layer in &layers.layers {
        let fields: Vec<String> = layer
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let line = format!(
            "{indent}{:>5}  {:<9} {:>5} bytes  {}",
            layer.offset,
            layer.name,
            layer.length,
            fields.join(" ")
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if let Some(fault) = &layers.malformed {
        let _ = writeln!(text, "{indent}malformed: {fault}");
    }
    text
}

fn flow_head(flow: &FlowAccount) -> String {
    let direction = if flow.to_server { "server" } else { "client" };
    let mut text = format!(
        "flow {}: {} {} -> {}, to the {direction}\n  state      {}\n",
        flow.id,
        flow.protocol,
        flow.client,
        flow.server,
        change_of(flow.state_before, flow.state_after)
    );
    if let Some(after) = flow.after {
        // A packet that never came to the streams left them as they were.
        let before = flow.before.unwrap_or(after);
        for (index, name) in ["to server", "to client"].into_iter().enumerate() {
            let (Some(before), Some(after)) = (before.get(index), after.get(index)) else {
                continue;
            };
            let _ = writeln!(text, "  {name}  {}", stream(before, after));
        }
    }
    text
}

fn stream(before: &Stream, after: &Stream) -> String {
    let held = |stream: &Stream| format!("{} bytes in {}", stream.held_bytes, stream.held_segments);
    let queued = |stream: &Stream| {
        format!(
            "{} bytes in {}",
            stream.queued_bytes, stream.queued_segments
        )
    };
    let mut text = format!(
        "next {}, held {}, queued {}",
        change_of(&before.next.to_string(), &after.next.to_string()),
        change_of(&held(before), &held(after)),
        change_of(&queued(before), &queued(after))
    );
    if before.shift != 0 || after.shift != 0 {
        let (before, after) = (before.shift.to_string(), after.shift.to_string());
        let _ = write!(text, ", moved by {}", change_of(&before, &after));
    }
    if let Some(end) = after.end {
        let _ = write!(text, ", ends at {end}");
    }
    text
}

fn change_of(before: &str, after: &str) -> String {
    if before == after {
        before.to_owned()
    } else {
        format!("{before} -> {after}")
    }
}

fn steps(account: &Account, own: u64) -> String {
    let mut text = String::new();
    let mut during = own;
    for line in &account.steps {
        let now = line.during.unwrap_or(own);
        if now != during {
            during = now;
            let _ = writeln!(text, "  later, {}:", course(now));
        }
        text.push_str(&step(line));
    }
    if account.steps.is_empty() {
        text.push_str("  nobody listens\n");
    }
    if account.steps_left_out > 0 {
        let _ = writeln!(text, "  {} more steps are left out", account.steps_left_out);
    }
    text
}

fn course(packet: u64) -> String {
    match packet {
        0 => "at the end of the capture".to_owned(),
        number => format!("during packet {number}"),
    }
}

fn step(line: &Line) -> String {
    let indent = "  ".repeat(line.depth + 1);
    let mut text = match &line.step {
        Step::Event { event } => format!("{indent}{event}\n"),
        Step::Engine { text } => format!("{indent}engine: {text}\n"),
        Step::Said { kind, text } => format!("{indent}{kind}: {text}\n"),
        Step::Policy {
            policy,
            entry,
            location,
        } => format!(
            "{indent}policy '{policy}': entry '{entry}' at {}\n",
            location.as_deref().unwrap_or("(built in)")
        ),
        Step::Rule {
            name,
            location,
            member,
            result,
            nanoseconds,
            ..
        } => {
            let what = if *member { "member" } else { "rule" };
            let name = name
                .as_ref()
                .map_or(String::new(), |name| format!(" '{name}'"));
            let time = nanoseconds.map_or(String::new(), |time| format!("  [{}]", duration(time)));
            format!("{indent}{what}{name} at {location}: {result}{time}\n")
        }
    };
    if let Step::Rule { reads, .. } = &line.step {
        for read in reads {
            let _ = writeln!(text, "{indent}  reads {} = {}", read.field, read.value);
        }
    }
    text
}

/// A time with the unit that suits it.
pub(in crate::cli) fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanoseconds as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.2} s", nanoseconds as f64 / 1e9),
    }
}

fn bytes(account: &Account) -> String {
    let mut text = String::new();
    if account.changes.is_empty() {
        text.push_str("  unchanged\n");
    }
    for Change {
        offset,
        before,
        after,
    } in &account.changes
    {
        for (sign, hex) in [('-', before), ('+', after)] {
            text.push_str(&hex_lines(*offset, sign, hex));
        }
    }
    for injected in &account.injected {
        let _ = writeln!(
            text,
            "  a packet of {} bytes is sent besides:",
            injected.length
        );
        text.push_str(&layers(&injected.decoding, "    "));
    }
    text
}

/// Sixteen bytes a line, each with its offset.
fn hex_lines(offset: usize, sign: char, hex: &str) -> String {
    let bytes: Vec<&str> = hex.split(' ').filter(|byte| !byte.is_empty()).collect();
    let mut text = String::new();
    for (number, chunk) in bytes.chunks(16).enumerate() {
        let _ = writeln!(
            text,
            "  {sign} {:04x}  {}",
            offset + 16 * number,
            chunk.join(" ")
        );
    }
    text
}

fn outcome(account: &Account) -> String {
    let Some(outcome) = &account.outcome else {
        return "verdict: none, it is still held\n".to_owned();
    };
    let mut text = format!("verdict: {}", outcome.verdict);
    if let Some(packet) = outcome.during {
        let _ = write!(text, ", {}", course(packet));
    }
    text.push('\n');
    if let (Some(reason), Some(meaning)) = (outcome.reason, outcome.meaning) {
        let _ = writeln!(text, "  reason:     {reason}: {meaning}");
    }
    if let Some(decided) = decided_by(outcome, account.packet) {
        let _ = writeln!(text, "  decided by: {decided}");
    }
    text
}

fn decided_by(outcome: &Outcome, own: u64) -> Option<String> {
    let decision = outcome.decision.as_ref()?;
    let mut text = match &decision.by {
        By::Rule {
            name,
            location,
            event,
            error,
        } => {
            let name = name
                .as_ref()
                .map_or(String::new(), |name| format!(" '{name}'"));
            let error = error
                .as_ref()
                .map_or(String::new(), |error| format!(": {error}"));
            format!("rule{name} at {location}, on {event}{error}")
        }
        By::Policy {
            policy,
            entry,
            location,
            error,
        } => {
            let location = location.as_deref().unwrap_or("(built in)");
            let error = error
                .as_ref()
                .map_or(String::new(), |error| format!(": {error}"));
            format!("policy '{policy}', entry '{entry}' at {location}{error}")
        }
        By::Cap { setting, limit } => format!("cap {setting} = {limit}"),
        By::Malformed {
            layer,
            offset,
            fault,
        } => format!("malformed {layer} header at byte {offset}: {fault}"),
        By::Engine { cause } => format!("the engine: {cause}"),
    };
    if decision.packet != own {
        let _ = write!(text, " ({})", course(decision.packet));
    }
    Some(text)
}

fn short_outcome(account: &Account) -> String {
    let Some(outcome) = &account.outcome else {
        return "held".to_owned();
    };
    let mut text = outcome.verdict.to_owned();
    if let Some(reason) = outcome.reason {
        let _ = write!(text, " ({reason})");
    }
    if let Some(decided) = decided_by(outcome, account.packet) {
        let _ = write!(text, " by {decided}");
    }
    if let Some(packet) = outcome.during {
        let _ = write!(text, ", {}", course(packet));
    }
    text
}

/// Flags and payload of a packet in a few words.
fn summary(account: &Account) -> String {
    let layers = &account.decoding.layers;
    let find = |layer: &str, field: &str| {
        let layer = layers.iter().rev().find(|known| known.name == layer)?;
        let field = layer.fields.iter().find(|(name, _)| name == field)?;
        Some(field.1.clone())
    };
    let payload = layers.iter().find(|layer| layer.name == "payload");
    let length = payload.map_or(0, |layer| layer.length);
    match find("tcp", "flags") {
        Some(flags) => format!("{flags}, {length} bytes"),
        None => format!("{length} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_stands_in_lines_of_sixteen() {
        let hex = vec!["ab"; 17].join(" ");
        let lines = hex_lines(0x20, '+', &hex);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  + 0020  ab ab"));
        assert_eq!(lines[1], "  + 0030  ab");
        assert_eq!(hex_lines(0, '-', ""), "");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(1_500), "1.5 us");
        assert_eq!(duration(2_000_000), "2.0 ms");
        assert_eq!(duration(3_000_000_000), "3.00 s");
    }
}
