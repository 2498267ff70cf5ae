//! The rules at work right now, innermost last, and who among them decides.

use super::story::{About, By};
use crate::core::Span;

/// A span that has begun.
pub struct Open {
    pub span: Span,
    pub about: About,
    /// Where its line stands, if it is told.
    pub line: Option<usize>,
    pub started: u64,
    /// Fingerprint of what it may change, when it began.
    pub before: u64,
    /// What it did so far, in words.
    pub effects: Vec<String>,
}

/// The stack of spans.
#[derive(Default)]
pub struct Spans {
    open: Vec<Open>,
}

impl Spans {
    pub fn push(&mut self, open: Open) -> u32 {
        self.open.push(open);
        self.open.len() as u32
    }

    /// The innermost span, if it lies above `token`: all of them must end
    /// before the span of that token can.
    pub fn pop_above(&mut self, token: u32) -> Option<Open> {
        if self.open.len() > token as usize {
            self.open.pop()
        } else {
            None
        }
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// What the innermost event is about.
    pub fn about(&self) -> About {
        self.open.last().map_or(About::default(), |open| open.about)
    }

    /// Where the line of the innermost rule stands.
    pub fn innermost_rule_line(&self) -> Option<usize> {
        let rule = self
            .open
            .iter()
            .rev()
            .find(|open| matches!(open.span, Span::Rule { .. } | Span::Member { .. }))?;
        rule.line
    }

    /// Notes something that the innermost rule did.
    pub fn effect(&mut self, effect: &str) {
        let rule = self
            .open
            .iter_mut()
            .rev()
            .find(|open| matches!(open.span, Span::Rule { .. } | Span::Member { .. }));
        if let Some(rule) = rule
            && !rule.effects.iter().any(|known| known == effect)
        {
            rule.effects.push(effect.to_owned());
        }
    }

    /// Who decides now: the innermost rule or policy.
    pub fn deciding(&self, error: Option<&str>) -> Option<By> {
        let error = error.map(str::to_owned);
        let (at, open) = self
            .open
            .iter()
            .enumerate()
            .rev()
            .find(|(_, open)| !matches!(open.span, Span::Event(_) | Span::Signal { .. }))?;
        let event = self.event_of(at);
        Some(match &open.span {
            Span::Policy {
                policy,
                entry,
                location,
            } => By::Policy {
                policy: policy.clone(),
                entry: entry.clone(),
                location: location.clone(),
                error,
            },
            Span::Member { location } => By::Rule {
                name: self.group_of(at),
                location: location.clone(),
                event,
                error,
            },
            Span::Rule { name, location, .. } => By::Rule {
                name: name.clone(),
                location: location.clone(),
                event,
                error,
            },
            Span::Event(_) | Span::Signal { .. } => return None,
        })
    }

    /// The event around the span at that place.
    fn event_of(&self, at: usize) -> String {
        let around = self.open.get(..at).unwrap_or_default();
        around
            .iter()
            .rev()
            .find_map(|open| event_name(&open.span))
            .unwrap_or_default()
    }

    /// The name of the rule group around a member.
    fn group_of(&self, at: usize) -> Option<String> {
        let around = self.open.get(..at).unwrap_or_default();
        around.iter().rev().find_map(|open| match &open.span {
            Span::Rule { name, .. } => name.clone(),
            _ => None,
        })
    }
}

/// `dissector:event`, for spans that are events.
pub fn event_name(span: &Span) -> Option<String> {
    match span {
        Span::Event(kind) => {
            let row = kind.row();
            Some(format!("{}:{}", row.dissector, row.name))
        }
        Span::Signal { event } => Some(event.clone()),
        _ => None,
    }
}
