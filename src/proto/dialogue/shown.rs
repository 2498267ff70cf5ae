//! A message in front of the rules: its lines, and what becomes of them.

/// Bytes of a line that rules write: as many as SMTP and FTP read of one.
const LINE_CAP: usize = 4096;

/// A message by its lines.
#[derive(Debug, Default)]
pub struct Shown {
    /// Names it for rules, for as long as it is shown.
    pub serial: u32,
    lines: Vec<Line>,
    /// Rules may still change it.
    open: bool,
}

#[derive(Debug)]
struct Line {
    /// Without its end.
    text: Vec<u8>,
    ending: u8,
    /// As it was sent, end included.
    sent: u64,
    changed: bool,
}

/// Why a line could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has left.
    Sent,
    /// There is no such line.
    NoLine,
    /// A line break would make more than one line of it, or it is too long.
    Text,
}

/// Where a changed line goes: so many bytes before the end of the message,
/// instead of so many bytes.
pub struct Edit<'a> {
    pub back: u64,
    pub len: u64,
    pub text: &'a [u8],
}

impl Shown {
    /// A message as it was sent.
    pub fn message(serial: u32, bytes: &[u8]) -> Shown {
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').map(|line| {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            Line {
                text: text.to_vec(),
                ending: (line.len() - text.len()) as u8,
                sent: line.len() as u64,
                changed: false,
            }
        });
        Shown {
            serial,
            lines: lines.collect(),
            open: true,
        }
    }

    /// Facts that are no bytes of the connection.
    pub fn facts(serial: u32, facts: &[&str]) -> Shown {
        let lines = facts.iter().map(|fact| Line {
            text: fact.as_bytes().to_vec(),
            ending: 0,
            sent: 0,
            changed: false,
        });
        Shown {
            serial,
            lines: lines.collect(),
            open: false,
        }
    }

    /// A line without its end.
    pub fn line(&self, index: usize) -> Option<&[u8]> {
        self.lines.get(index).map(|line| &line.text[..])
    }

    /// All lines without their ends.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.lines.iter().map(|line| &line.text[..])
    }

    /// Changes a line.
    ///
    /// # Errors
    /// When it cannot be changed, or not to that.
    pub fn set(&mut self, index: usize, text: &[u8]) -> Result<(), Refusal> {
        if !self.open {
            return Err(Refusal::Sent);
        }
        if text.len() > LINE_CAP || text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(Refusal::Text);
        }
        let line = self.lines.get_mut(index).ok_or(Refusal::NoLine)?;
        line.text = text.to_vec();
        line.changed = true;
        Ok(())
    }

    /// Nothing can be changed any more.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Whether rules may still change it.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Bytes of the message as it leaves.
    pub fn size(&self) -> u64 {
        let of = |line: &Line| line.text.len() as u64 + u64::from(line.ending);
        self.lines.iter().map(of).sum()
    }

    /// What rules changed, the last line first: each leaves those before it
    /// where they are.
    pub fn edits(&self) -> impl Iterator<Item = Edit<'_>> {
        let mut behind = 0;
        self.lines.iter().rev().filter_map(move |line| {
            let back = behind + line.sent;
            behind += if line.changed {
                line.text.len() as u64 + u64::from(line.ending)
            } else {
                line.sent
            };
            line.changed.then_some(Edit {
                back,
                len: line.sent - u64::from(line.ending),
                text: &line.text,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_go_where_they_were() {
        let mut shown = Shown::message(1, b"250-one\r\n250-two\n250 three\r\n");
        shown.set(0, b"250-first").expect("it is open");
        shown.set(2, b"250 3").expect("it is open");
        let edits: Vec<_> = shown
            .edits()
            .map(|edit| (edit.back, edit.len, edit.text))
            .collect();
        assert_eq!(edits, [(11, 9, &b"250 3"[..]), (24, 7, b"250-first")]);
        assert_eq!(shown.size(), 11 + 8 + 7);
    }

    #[test]
    fn lines_stay_lines() {
        let mut shown = Shown::message(1, b"QUIT\r\n");
        assert_eq!(shown.set(0, b"RSET\r\nQUIT"), Err(Refusal::Text));
        assert_eq!(shown.set(1, b"x"), Err(Refusal::NoLine));
        shown.close();
        assert_eq!(shown.set(0, b"RSET"), Err(Refusal::Sent));
        assert_eq!(shown.line(0), Some(&b"QUIT"[..]));
    }
}
