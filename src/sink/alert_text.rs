//! Alerts as text, laid out as Haka lays them out.
//!
//! Field order, tabs and wording are part of the contract with rule tests
//! that compare them. There is no length limit.

use std::fmt::Write;

use super::colour::{BOLD, BOLD_CYAN, BOLD_RED, BOLD_YELLOW, paint};
use super::ctime::ctime;
use crate::alert::{Alert, Confidence, Method, Node, Severity};
use crate::time::Timestamp;

/// How the fields of an alert are set apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Each on a line of its own, indented by a tab.
    #[default]
    Pretty,
    /// All on one line. The second tab of nested fields stays.
    OneLine,
}

/// Turns alerts into text.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlertText {
    pub layout: Layout,
    /// For terminals: the word `alert` by severity, field names bold.
    pub colour: bool,
}

impl AlertText {
    /// The text of `alert`, without a line end. Its times are local.
    pub fn render(self, alert: &Alert) -> String {
        let mut page = Page {
            text: String::with_capacity(256),
            style: self,
        };
        page.alert(alert);
        page.text
    }
}

struct Page {
    text: String,
    style: AlertText,
}

impl Page {
    fn alert(&mut self, alert: &Alert) {
        let colour = match alert.severity {
            _ if !self.style.colour => "",
            Some(Severity::Low) => BOLD_CYAN,
            Some(Severity::Medium) => BOLD_YELLOW,
            Some(Severity::High) | None => BOLD_RED,
        };
        paint(&mut self.text, colour, "alert");
        self.text
            .push_str(if alert.update { ": update " } else { ": " });
        self.name("id");
        let _ = write!(self.text, " = {}", alert.id);
        self.field("time", &ctime(alert.time));
        self.moment("start time", alert.start_time);
        self.moment("end time", alert.end_time);
        if let Some(severity) = alert.severity {
            self.field("severity", severity.name());
        }
        match alert.confidence {
            Some(Confidence::Level(level)) => self.field("confidence", level.name()),
            Some(Confidence::Number(number)) => self.field("confidence", &shortest(number)),
            None => {}
        }
        if let Some(completion) = alert.completion {
            self.field("completion", completion.name());
        }
        if let Some(description) = &alert.description {
            self.field("description", description);
        }
        if let Some(method) = &alert.method {
            self.method(method);
        }
        self.nodes("sources", alert.sources.as_deref());
        self.nodes("targets", alert.targets.as_deref());
        if !alert.refs.is_empty() {
            let ids: Vec<String> = alert.refs.iter().map(u64::to_string).collect();
            self.list("refs", &ids);
        }
    }

    fn method(&mut self, method: &Method) {
        if method.is_empty() {
            return;
        }
        self.open("method");
        if let Some(description) = &method.description {
            self.deeper();
            self.value("description", description);
        }
        if !method.refs.is_empty() {
            self.deeper();
            self.names("ref", &method.refs);
        }
        self.close();
    }

    fn nodes(&mut self, name: &str, nodes: Option<&[Node]>) {
        let Some(nodes) = nodes else { return };
        self.open(name);
        for node in nodes {
            self.deeper();
            self.name(node.kind.name());
            self.text.push_str(": ");
            self.text.push_str(&node.values.join(", "));
        }
        self.close();
    }

    fn moment(&mut self, name: &str, time: Option<Timestamp>) {
        if let Some(time) = time.filter(|&time| time != Timestamp(0)) {
            self.field(name, &ctime(time));
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        self.indent();
        self.value(name, value);
    }

    fn list(&mut self, name: &str, values: &[String]) {
        self.indent();
        self.names(name, values);
    }

    fn value(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.push_str(" = ");
        self.text.push_str(value);
    }

    fn names(&mut self, name: &str, values: &[String]) {
        self.name(name);
        self.text.push_str(" = { ");
        self.text.push_str(&values.join(", "));
        self.text.push_str(" }");
    }

    fn open(&mut self, name: &str) {
        self.indent();
        self.name(name);
        self.text.push_str(" = {");
    }

    fn close(&mut self) {
        self.indent();
        self.text.push('}');
    }

    fn indent(&mut self) {
        self.text.push_str(match self.style.layout {
            Layout::Pretty => "\n\t",
            Layout::OneLine => " ",
        });
    }

    fn deeper(&mut self) {
        self.indent();
        self.text.push('\t');
    }

    fn name(&mut self, name: &str) {
        paint(
            &mut self.text,
            if self.style.colour { BOLD } else { "" },
            name,
        );
    }
}

/// Formats as C's `%g` does: six significant digits without trailing zeros,
/// with an exponent when it is below -4 or above 5.
pub(super) fn shortest(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rounding to six digits may carry into the exponent, so it is read off
    // the rounded text.
    let scientific = format!("{number:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        return trimmed(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.unsigned_abs())
}

/// Without the zeros that end a fraction.
fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Completion, NodeKind};

    fn node(kind: NodeKind, values: &[&str]) -> Node {
        Node {
            kind,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    fn full() -> Alert {
        Alert {
            id: 12,
            time: Timestamp::new(1_700_000_000, 0),
            start_time: Some(Timestamp::new(1_700_000_001, 0)),
            end_time: Some(Timestamp::new(1_700_000_002, 0)),
            severity: Some(Severity::Medium),
            confidence: Some(Confidence::Number(7.0)),
            completion: Some(Completion::Failed),
            description: Some("odd header".into()),
            method: Some(Method {
                description: Some("smuggling".into()),
                refs: vec!["cve/2020-0001".into(), "cwe/444".into()],
            }),
            sources: Some(vec![
                node(NodeKind::Address, &["192.0.2.1", "client"]),
                node(NodeKind::Service, &["tcp/4711"]),
            ]),
            targets: Some(vec![]),
            refs: vec![3, 5],
            ..Alert::default()
        }
    }

    fn times() -> [String; 3] {
        [0, 1, 2].map(|second| ctime(Timestamp::new(1_700_000_000 + second, 0)))
    }

    #[test]
    fn pretty_layout_has_every_field_in_order() {
        let [raised, start, end] = times();
        let expected = format!(
            "alert: id = 12\n\
             \ttime = {raised}\n\
             \tstart time = {start}\n\
             \tend time = {end}\n\
             \tseverity = medium\n\
             \tconfidence = 7\n\
             \tcompletion = failed\n\
             \tdescription = odd header\n\
             \tmethod = {{\n\
             \t\tdescription = smuggling\n\
             \t\tref = {{ cve/2020-0001, cwe/444 }}\n\
             \t}}\n\
             \tsources = {{\n\
             \t\taddress: 192.0.2.1, client\n\
             \t\tservice: tcp/4711\n\
             \t}}\n\
             \ttargets = {{\n\
             \t}}\n\
             \trefs = {{ 3, 5 }}"
        );
        assert_eq!(AlertText::default().render(&full()), expected);
    }

    #[test]
    fn one_line_layout_keeps_the_inner_tab() {
        let text = AlertText {
            layout: Layout::OneLine,
            colour: false,
        };
        let alert = Alert {
            id: 2,
            update: true,
            time: Timestamp::new(1_700_000_000, 0),
            confidence: Some(Confidence::Level(Severity::High)),
            targets: Some(vec![node(NodeKind::Service, &["udp/53"])]),
            ..Alert::default()
        };
        let raised = &times()[0];
        let expected = format!(
            "alert: update id = 2 time = {raised} confidence = high targets = {{ \tservice: udp/53 }}"
        );
        assert_eq!(text.render(&alert), expected);
        // One line however much there is to say.
        assert_eq!(text.render(&full()).lines().count(), 1);
    }

    #[test]
    fn colours_follow_the_severity() {
        let text = AlertText {
            layout: Layout::OneLine,
            colour: true,
        };
        let header = |severity| {
            let rendered = text.render(&Alert {
                id: 1,
                severity,
                ..Alert::default()
            });
            rendered.split(" = ").next().unwrap_or_default().to_owned()
        };
        let id = "\x1b[0m: \x1b[1mid\x1b[0m";
        assert_eq!(
            header(Some(Severity::Low)),
            format!("\x1b[1m\x1b[36malert{id}")
        );
        assert_eq!(
            header(Some(Severity::Medium)),
            format!("\x1b[1m\x1b[33malert{id}")
        );
        assert_eq!(
            header(Some(Severity::High)),
            format!("\x1b[1m\x1b[31malert{id}")
        );
        assert_eq!(header(None), format!("\x1b[1m\x1b[31malert{id}"));
        assert!(
            text.render(&full())
                .contains(" \t\x1b[1maddress\x1b[0m: 192.0.2.1, client")
        );
    }

    #[test]
    fn zero_times_and_empty_methods_are_absent() {
        let alert = Alert {
            id: 1,
            start_time: Some(Timestamp(0)),
            method: Some(Method::default()),
            ..Alert::default()
        };
        let expected = format!("alert: id = 1\n\ttime = {}", ctime(Timestamp(0)));
        assert_eq!(AlertText::default().render(&alert), expected);
    }

    #[test]
    fn long_alerts_are_not_cut() {
        let alert = Alert {
            description: Some("x".repeat(5_000)),
            ..Alert::default()
        };
        assert!(
            AlertText::default()
                .render(&alert)
                .ends_with(&"x".repeat(5_000))
        );
    }

    #[test]
    fn numbers_look_as_c_prints_them() {
        // From printf("%g").
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (7.0, "7"),
            (0.7, "0.7"),
            (100.0, "100"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.23457e+06"),
            (999_999.5, "1e+06"),
            (0.0001, "0.0001"),
            (0.000_099_999_99, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-120, "-2.5e-120"),
            (1.0 / 3.0, "0.333333"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(shortest(number), text);
        }
    }
}
