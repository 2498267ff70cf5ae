//! A message in one line of text, for tables.
//!
//! Made from the message's JSON object, so that a protocol without a line of
//! its own here still says everything, as `name=value`.

use std::fmt::Write as _;

use serde_json::Value;

/// Letters of a summary. Longer ones are cut with `…`.
const MOST_LETTERS: usize = 200;

/// What a message says, without its type.
pub fn summary(proto: &str, message: &Value) -> String {
    let text = |name: &str| message[name].as_str().unwrap_or_default();
    let line = match (proto, text("type")) {
        ("http", "request") => http_request(message),
        ("http", "response") => {
            let status = &message["status"];
            words(&[&status.to_string(), text("reason"), &body(message)])
        }
        ("dns", "query") => questions(message),
        ("dns", "response") => words(&[&questions(message), text("rcode"), &answers(message)]),
        ("tls", "client_hello") => words(&[text("sni"), &list(&message["alpn"]), text("ja4")]),
        ("smtp" | "ftp", "command") => words(&[text("command"), text("parameter")]),
        ("smtp" | "ftp", "response") => {
            words(&[&plain(&message["code"]), &list(&message["lines"])])
        }
        (_, "anomaly") => words(&[text("event"), text("detail")]),
        _ => fields(message),
    };
    cut(&line)
}

fn http_request(message: &Value) -> String {
    let text = |name: &str| message[name].as_str().unwrap_or_default();
    let (host, uri) = (text("host"), text("uri"));
    let target = match uri.starts_with('/') {
        true => format!("{host}{uri}"),
        false => uri.to_owned(),
    };
    words(&[text("method"), &target, &body(message)])
}

fn body(message: &Value) -> String {
    match message["body"]["len"].as_u64() {
        Some(len) => format!("{len} bytes"),
        None => String::new(),
    }
}

fn questions(message: &Value) -> String {
    joined(&message["questions"], |question| {
        words(&[&plain(&question["type"]), &plain(&question["name"])])
    })
}

fn answers(message: &Value) -> String {
    joined(&message["answers"], |answer| {
        words(&[&plain(&answer["type"]), &plain(&answer["data"])])
    })
}

fn joined(list: &Value, each: impl Fn(&Value) -> String) -> String {
    let parts: Vec<_> = list.as_array().into_iter().flatten().map(each).collect();
    parts.join(", ")
}

fn list(value: &Value) -> String {
    match value {
        Value::Array(_) => joined(value, plain),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Everything but the type.
fn fields(message: &Value) -> String {
    let mut line = String::new();
    for (name, value) in message.as_object().into_iter().flatten() {
        if name != "type" {
            let _ = write!(line, " {name}={}", list(value));
        }
    }
    line.split_off(line.len().min(1))
}

/// Joins what is not empty.
fn words(parts: &[&str]) -> String {
    let there: Vec<_> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    there.join(" ")
}

/// Control characters could move the cursor: they are written as escapes.
fn cut(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for letter in line.chars().take(MOST_LETTERS) {
        match letter.is_control() {
            true => safe.extend(letter.escape_default()),
            false => safe.push(letter),
        }
    }
    if line.chars().nth(MOST_LETTERS).is_some() {
        safe.push('…');
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_read_as_people_write_them() {
        for (proto, message, expected) in [
            (
                "http",
                json!({"type": "request", "method": "GET", "host": "a.example", "uri": "/x"}),
                "GET a.example/x",
            ),
            (
                "http",
                json!({"type": "response", "status": 404, "reason": "Not Found", "body": {"len": 5}}),
                "404 Not Found 5 bytes",
            ),
            (
                "dns",
                json!({"type": "response", "rcode": "NOERROR",
                       "questions": [{"name": "a.example", "type": "A"}],
                       "answers": [{"type": "A", "data": "10.0.0.1"}, {"type": "A", "data": "10.0.0.2"}]}),
                "A a.example NOERROR A 10.0.0.1, A 10.0.0.2",
            ),
            (
                "smtp",
                json!({"type": "response", "code": 250, "lines": ["one", "two"]}),
                "250 one, two",
            ),
            (
                "any",
                json!({"type": "anomaly", "event": "odd", "detail": "very"}),
                "odd very",
            ),
            (
                "new",
                json!({"type": "thing", "a": 1, "b": ["x", "y"]}),
                "a=1 b=x, y",
            ),
        ] {
            assert_eq!(summary(proto, &message), expected);
        }
    }

    #[test]
    fn what_traffic_says_cannot_move_the_cursor_or_flood() {
        let message = json!({"type": "anomaly", "event": "odd", "detail": "\u{1b}[2J"});
        assert_eq!(summary("any", &message), "odd \\u{1b}[2J");
        let long = json!({"type": "anomaly", "event": "x".repeat(500)});
        assert_eq!(summary("any", &long).chars().count(), MOST_LETTERS + 1);
    }
}
